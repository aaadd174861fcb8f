"""Verify a file of the table of sources, or fetch it, and stamp it; a partial download is resumed."""

from job import job
from seedbed.data.raw.provide import stand_for
from seedbed.data.raw.sources import TABLE, load_sources

with job(snakemake):
    # Addresses are no parameter of the rule: another mirror makes no file anew.
    source = load_sources(snakemake.config.get("sources") or TABLE).file(snakemake.wildcards.source)
    stand_for(source, snakemake.output[0], lock_file=snakemake.params.lock)
