"""Prepare a published data set: index, class names, masks and card."""

from pathlib import Path

from job import job
from seedbed.data.card import write_card
from seedbed.data.index import write_index
from seedbed.data.published.catalogue import PUBLISHED
from seedbed.data.raw.lock import DataLock

with job(snakemake):
    params, root = snakemake.params, Path(snakemake.output.index).parent
    index = PUBLISHED.find(params.kind)(root, workers=snakemake.threads, **params.options)
    write_index(index)
    write_card(index, snakemake.wildcards.dataset, params.licence, DataLock(params.lock).origin(params.sources))
