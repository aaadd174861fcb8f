"""Read published weights, whatever their container, and store them as safetensors; no pickle is executed."""

from job import job
from seedbed.data.raw.stamp import kept_file
from seedbed.io.provenance import file_sha256
from seedbed.io.weights import write_weights
from seedbed.models.weights.reading import read_weights

with job(snakemake) as this:
    source = kept_file(snakemake.input.file)
    write_weights(snakemake.output[0], read_weights(source), this.provenance(data=file_sha256(source)))
