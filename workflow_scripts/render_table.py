"""The page of a table: numbers and what is behind them, images with layers, curves, footnotes."""

from functools import cache, partial
from pathlib import Path

from job import job
from seedbed.data.index import read_index, subset
from seedbed.io.atomic import read_json, write_bytes, write_text
from seedbed.papers.plan import Cell
from seedbed.papers.tables import Table
from seedbed.plan.describe import checkpoint_note
from seedbed.report.counted import counted_notes
from seedbed.report.curves import table_plots
from seedbed.report.filled_tables import fill_table
from seedbed.report.gallery import draw_gallery
from seedbed.report.layers import open_images
from seedbed.report.page import Background, render_page, render_table
from seedbed.report.panels import open_section
from seedbed.report.selection import cell_intervals, measured_backgrounds, pick, score_panels, shown_scores

SAMPLE = 6

with job(snakemake) as this:
    params, read = snakemake.params, cache(read_json)
    table, cells = Table.model_validate(params.table), [Cell.from_plain(cell) for cell in params.cells]
    index = read_index(Path(snakemake.input.index).parent)
    records = subset(index.split(params.images["split"]), params.images["subset"])
    scores = score_panels(params.panels, index, records, measured_backgrounds(table, cells, read))
    chosen = pick(scores[-1] if scores else None)
    group = {"label": "", "panels": params.panels, **params.images}
    section = open_section(group, index, SAMPLE, lambda: this.device, also=list(chosen))
    notes = [*params.footnotes, *counted_notes(table, cells, read)]
    notes += [checkpoint_note(read(path)) for path in snakemake.input.checkpoints]
    background = Background(
        settings=params.settings,
        command=params.made_by["command"],
        intervals=cell_intervals(table, cells, scores, read),
        images=open_images(
            [section],
            chosen=chosen,
            scores=shown_scores(scores, (row.record.image for row in section.rows)),
            chosen_by=scores[-1].label if scores else "",
        ),
        plots=table_plots(params.histories, {path: read(path) for path in snakemake.input.metrics}),
        provenance={path: read(path)["provenance"] for path in snakemake.input.metrics},
    )
    render = partial(
        render_table,
        params.paper,
        table,
        fill_table(table, cells, read),
        notes,
        comparable=params.preset["comparable"],
        read=read,
        background=background,
    )
    folder = Path(snakemake.output.page).parent  # results/<preset>/tables/<paper>; the report lies two above
    page, report = render(base=str(folder)), render(base=str(folder.parents[1]))
    write_bytes(snakemake.output.gallery, draw_gallery([section._replace(rows=section.rows[:SAMPLE])]))
    write_text(snakemake.output.fragment, report.html)
    write_text(snakemake.output.page, render_page(table.title, [page], **params.preset))
