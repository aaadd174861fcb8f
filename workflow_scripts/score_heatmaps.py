"""Score heat maps as seeds: mIoU at the constant background, and over a sweep of backgrounds."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import linked_folder, read_index
from seedbed.evaluate.scoring import ScoringSettings, score_heatmaps
from seedbed.io.atomic import write_json
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.plain import from_plain

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index = read_index(root)
    records = index.split(snakemake.wildcards.split)
    if linked_folder(root):  # of your own images some may have masks
        records = [record for record in records if record.mask]
    metrics = score_heatmaps(
        index,
        records,
        HeatMapStore(snakemake.input.heatmaps),
        from_plain(ScoringSettings, snakemake.params.scoring),
        background=snakemake.params.background,
        sweep=snakemake.params.sweep,
    )
    write_json(snakemake.output[0], {**metrics, "provenance": this.provenance(data=read_checksum(root))})
