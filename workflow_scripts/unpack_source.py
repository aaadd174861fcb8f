"""Unpack an archive, or link what already lies on disk; the stamp says which."""

from pathlib import Path

from job import job
from seedbed.data.raw.provide import provide
from seedbed.data.raw.sources import TABLE, load_sources
from seedbed.data.raw.stamp import stamped_file
from seedbed.io.atomic import write_json

with job(snakemake):
    source = load_sources(snakemake.config.get("sources") or TABLE).file(snakemake.wildcards.source)
    stamp, archive = Path(snakemake.output[0]), snakemake.input.stamp
    origin = stamped_file(archive[0]) if archive else snakemake.params.path
    target = provide(source, origin, stamp.with_suffix(""), lock_file=snakemake.params.lock)
    write_json(stamp, {"source": source.name, "from": str(origin), "at": str(target)})
