"""Texts of a data set's classes and of the background, as unit vectors."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.weights import write_weights
from seedbed.models.prompts import make_texts

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    texts = make_texts(snakemake.params.prompts, read_index(root).classes, snakemake.params.lock)
    write_weights(snakemake.output[0], texts._asdict(), this.provenance(data=read_checksum(root)))
