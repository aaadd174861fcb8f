"""A finished table and everything it was computed from, as one zip."""

from pathlib import Path

from job import job
from seedbed.report.archive import write_archive

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    write_archive(
        snakemake.output[0],
        params.title,
        params.paper,
        tables=inputs.table,
        evidence=[*inputs.metrics, *inputs.histories, *inputs.checkpoints],
        cards=inputs.cards,
        project=Path(snakemake.scriptdir).parent,
    )
