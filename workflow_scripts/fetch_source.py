"""Fetch a file of the table of sources, verified; a partial download is resumed."""

from pathlib import Path

from job import job
from seedbed.data.raw.fetch import fetch
from seedbed.data.raw.sources import FileSource

with job(snakemake):
    source = FileSource.model_validate(snakemake.params.source)
    fetch(source, Path(snakemake.output[0]).parent, lock_file=snakemake.params.lock)
