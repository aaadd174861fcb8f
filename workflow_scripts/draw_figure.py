"""Draw a gallery figure: pictures by row, maps and masks by column."""

from pathlib import Path

from job import job
from seedbed.data.index import read_index
from seedbed.io.atomic import write_bytes, write_text
from seedbed.papers.tables import Figure
from seedbed.report.gallery import draw_gallery
from seedbed.report.page import render_figure, render_page
from seedbed.report.panels import open_section

with job(snakemake) as this:
    params, indices = snakemake.params, [read_index(Path(path).parent) for path in snakemake.input.indices]
    pictures = 8 // len(params.groups)
    pairs = zip(params.groups, indices, strict=True)
    sections = [open_section(group, index, pictures, this.device) for group, index in pairs]
    drawing = draw_gallery(sections)
    fragment = render_figure(params.paper, Figure.model_validate(params.figure), drawing)
    write_bytes(snakemake.output.picture, drawing)
    write_text(snakemake.output.fragment, fragment.html)
    write_text(snakemake.output.page, render_page(fragment.anchor, [fragment], **params.preset))
