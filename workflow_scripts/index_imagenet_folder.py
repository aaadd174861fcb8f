"""Index a folder of ImageNet photographs, without copying them."""

from pathlib import Path

from job import job
from seedbed.data.card import write_card
from seedbed.data.imagenet_folder import read_imagenet_folder
from seedbed.data.index import write_index

with job(snakemake):
    root = Path(snakemake.output.index).parent
    index = read_imagenet_folder(snakemake.params.path, root)
    write_index(index)
    write_card(index, snakemake.wildcards.dataset, "for research only (ImageNet)", {})
