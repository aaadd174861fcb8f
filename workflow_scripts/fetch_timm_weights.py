"""Fetch weights that timm publishes and store them as safetensors."""

from job import job
from seedbed.io.weights import write_weights
from seedbed.models.published import fetch_timm_weights

with job(snakemake) as this:
    write_weights(snakemake.output[0], fetch_timm_weights(snakemake.params.tag), this.provenance())
