"""Compare weights that come with the project with the same training run here."""

from job import job
from seedbed.io.atomic import write_json
from seedbed.io.weights import compare_weights, read_weights

with job(snakemake) as this:
    found = compare_weights(read_weights(snakemake.input.shipped), read_weights(snakemake.input.rebuilt))
    write_json(snakemake.output[0], {**found, "rebuilt": snakemake.input.rebuilt, "provenance": this.provenance()})
