"""Fill a table from the metrics of its rows."""

from functools import cache

from job import job
from seedbed.io.atomic import read_json, write_json, write_text
from seedbed.papers.plan import Cell
from seedbed.papers.tables import Table
from seedbed.plan.describe import checkpoint_note
from seedbed.report.counted import counted_notes
from seedbed.report.filled_tables import fill_table, to_csv, to_markdown, to_metrics
from seedbed.report.latex import to_latex

with job(snakemake):
    table = Table.model_validate(snakemake.params.table)
    cells = [Cell.from_plain(cell) for cell in snakemake.params.cells]
    read = cache(read_json)
    values = fill_table(table, cells, read)
    notes = [*snakemake.params.footnotes, *counted_notes(table, cells, read)]
    notes += [checkpoint_note(read(path)) for path in snakemake.input.checkpoints]
    write_text(snakemake.output.csv, to_csv(table, values))
    write_text(snakemake.output.markdown, to_markdown(table, values, notes))
    write_json(snakemake.output.metrics, to_metrics(values))
    write_text(snakemake.output.latex, to_latex(table, values))
