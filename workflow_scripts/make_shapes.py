"""Draw the built-in data set in PASCAL VOC's layout and index it."""

from pathlib import Path

from job import job
from seedbed.data.card import write_card
from seedbed.data.index import write_index
from seedbed.data.shapes import LICENCE, make_shapes

with job(snakemake):
    parameters = {key: value for key, value in snakemake.params.dataset.items() if key != "kind"}
    index = make_shapes(Path(snakemake.output.index).parent, **parameters)
    write_index(index)
    write_card(index, snakemake.wildcards.dataset, LICENCE, parameters)
