"""Bring the shards of a measurement together."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.io.atomic import read_json, write_json

with job(snakemake) as this:
    counts = [read_json(path)["counts"] for path in snakemake.input.shards]
    metrics = merge_protocol(snakemake.params.protocol["name"], counts)
    record = this.provenance(data=read_checksum(Path(snakemake.input.card).parent))
    write_json(snakemake.output[0], {**metrics, "provenance": record})
