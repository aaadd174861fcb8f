"""Unpack an archive, or link what already lies on disk; the stamp says which."""

from pathlib import Path

from job import job
from seedbed.data.raw.adopt import provide
from seedbed.data.raw.sources import FileSource
from seedbed.io.atomic import write_json

with job(snakemake):
    source, stamp = FileSource.model_validate(snakemake.params.source), Path(snakemake.output[0])
    origin = snakemake.input.archive[0] if snakemake.input.archive else snakemake.params.path
    target = provide(source, Path(origin), stamp.with_suffix(""), lock_file=snakemake.params.lock)
    write_json(stamp, {"source": source.name, "from": str(origin), "at": str(target)})
