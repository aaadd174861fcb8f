"""Check and index a folder of your own pictures, without copying them."""

from pathlib import Path

from job import job
from seedbed.data.card import write_card
from seedbed.data.index import write_index
from seedbed.data.own import read_own

with job(snakemake):
    source = Path(snakemake.params.dataset["path"])
    index = read_own(source, Path(snakemake.output.index).parent, workers=snakemake.threads)
    write_index(index)
    write_card(index, snakemake.wildcards.dataset, "your own", {"path": str(source)})
