"""Score masks against ground truth."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.evaluate.scoring import ScoringSettings, score_masks
from seedbed.io.atomic import write_json
from seedbed.io.masks import MaskStore
from seedbed.io.plain import from_plain

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index = read_index(root)
    records, masks = index.split(snakemake.wildcards.split), MaskStore(snakemake.input.masks)
    metrics = score_masks(index, records, masks, from_plain(ScoringSettings, snakemake.params.scoring))
    write_json(snakemake.output[0], {**metrics, "provenance": this.provenance(data=read_checksum(root))})
