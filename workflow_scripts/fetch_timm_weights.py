"""Fetch weights that timm publishes, hold them to the lock of data, and store them as safetensors."""

from job import job
from seedbed.data.raw.lock import DataLock, Pin
from seedbed.io.weights import weights_pin, write_weights
from seedbed.models.published import fetch_timm_weights

with job(snakemake) as this:
    tag = snakemake.params.tag
    weights = fetch_timm_weights(tag)
    DataLock(snakemake.params.lock).hold(f"timm/{tag}", Pin(tag, *weights_pin(weights)))
    write_weights(snakemake.output[0], weights, this.provenance())
