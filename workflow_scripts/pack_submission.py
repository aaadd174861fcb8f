"""Pack predictions for the evaluation server."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.atomic import write_json
from seedbed.io.masks import MaskStore
from seedbed.io.submission import write_submission

with job(snakemake) as this:
    root, split = Path(snakemake.input.index).parent, snakemake.wildcards.split
    index, masks = read_index(root), MaskStore(snakemake.input.masks)
    sizes = {record.image: record.size for record in index.split(split)}
    packed = write_submission(snakemake.output.archive, masks, sizes, split, len(index.classes) + 1)
    write_json(snakemake.output.record, {**packed, "provenance": this.provenance(data=read_checksum(root))})
