"""The page of a table: numbers, footnotes, gallery, curves, and where each number comes from."""

from functools import cache, partial
from pathlib import Path

from job import job
from seedbed.data.index import read_index
from seedbed.io.atomic import read_json, write_bytes, write_text
from seedbed.papers.plan import Cell
from seedbed.papers.tables import Table
from seedbed.plan.describe import checkpoint_note
from seedbed.report.counted import counted_notes
from seedbed.report.curves import table_curves
from seedbed.report.filled_tables import fill_table
from seedbed.report.gallery import draw_gallery
from seedbed.report.page import render_page, render_table
from seedbed.report.panels import open_section

with job(snakemake) as this:
    params, read = snakemake.params, cache(read_json)
    table, cells = Table.model_validate(params.table), [Cell.from_plain(cell) for cell in params.cells]
    index = read_index(Path(snakemake.input.index).parent)
    group = {"label": "", "panels": params.panels, **params.images}
    gallery = draw_gallery([open_section(group, index, 6, this.device)])
    notes = [*params.footnotes, *counted_notes(table, cells, read)]
    notes += [checkpoint_note(read(path)) for path in snakemake.input.checkpoints]
    values, curves = fill_table(table, cells, read), {path: read(path) for path in snakemake.input.metrics}
    section = partial(
        render_table,
        params.paper,
        table,
        values,
        notes,
        gallery=gallery,
        curves=table_curves(params.histories, curves),
        provenance={path: read(path)["provenance"] for path in snakemake.input.metrics},
    )
    folder = Path(snakemake.output.page).parent  # results/<preset>/tables/<paper>; the report lies two above
    page, report = section(base=str(folder)), section(base=str(folder.parents[1]))
    write_bytes(snakemake.output.gallery, gallery)
    write_text(snakemake.output.fragment, report.html)
    write_text(snakemake.output.page, render_page(table.title, [page], **params.preset))
