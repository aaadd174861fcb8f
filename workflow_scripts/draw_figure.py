"""Draw a gallery figure: images by row, maps and masks by column."""

from pathlib import Path

from job import job
from seedbed.data.index import read_index
from seedbed.io.atomic import write_bytes, write_text
from seedbed.papers.tables import Figure
from seedbed.report.gallery import draw_gallery, unknown_subjects
from seedbed.report.layers import open_images
from seedbed.report.page import render_figure, render_page
from seedbed.report.panels import open_sections
from seedbed.report.picks import unmet_picks

with job(snakemake) as this:
    params, output = snakemake.params, snakemake.output
    figure = Figure.model_validate(params.figure)
    indices = [read_index(Path(path).parent) for path in snakemake.input.indices]
    sections = open_sections(params.groups, indices, 8 // len(params.groups), lambda: this.device)
    drawing = draw_gallery(sections)
    notes = [*params.notes, *unknown_subjects(figure.subjects, indices), *unmet_picks(params.groups, sections)]
    fragment = render_figure(
        params.paper, figure, drawing, notes, files=[output.document, output.image], images=open_images(sections)
    )
    write_bytes(output.image, drawing)
    write_bytes(output.document, draw_gallery(sections, "pdf"))
    write_text(output.fragment, fragment.html)
    write_text(output.page, render_page(params.title, [fragment], **params.preset))
