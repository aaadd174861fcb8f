"""Write the masks of a split as files for use elsewhere."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.evaluate.scoring import ScoringSettings
from seedbed.io.masks import MaskStore
from seedbed.io.plain import from_plain
from seedbed.report.export import export_masks, summary

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index = read_index(root)
    records, masks = index.split(snakemake.wildcards.split), MaskStore(snakemake.input.masks)
    scoring = from_plain(ScoringSettings, snakemake.params.scoring)
    record = this.provenance(data=read_checksum(root))
    exported = export_masks(snakemake.output[0], index, records, masks, scoring, record)
    this.say(summary(exported, index.classes, snakemake.wildcards.split))
