"""Verify weights that come with the project and put them where networks look for them."""

from pathlib import Path

from job import job
from seedbed.errors import DataError
from seedbed.io.atomic import write_bytes
from seedbed.io.provenance import file_sha256

with job(snakemake):
    source, expected = snakemake.input.file, snakemake.params.sha256
    found = file_sha256(source)
    if found != expected:
        raise DataError(f"{source}: its sha256 is {found}, params.yaml says {expected}. Check it out again.")
    write_bytes(snakemake.output[0], Path(source).read_bytes())
