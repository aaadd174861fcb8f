"""Masks of one shard by a refiner."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.masks import write_masks
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.refine.refiners import Given, build_refiner
from seedbed.settings.dense_crf import CrfSettings

with job(snakemake) as this:
    root, params, files = Path(snakemake.input.index).parent, snakemake.params, snakemake.input
    index = read_index(root)
    given = Given(
        index=index,
        device=this.device,
        heatmaps=HeatMapStore([files.heatmaps]) if files.heatmaps else None,
        background=params.get("background"),
        crf=from_plain(CrfSettings, params.crf) if params.crf else None,
        network=params.get("network"),
        weights=files.get("weights"),
    )
    make = build_refiner(params.refiner).start(given)
    records = shard(index.split(snakemake.wildcards.split), *this.shard)
    masks = progress(make(records), len(records), "pictures")
    write_masks(snakemake.output[0], masks, this.provenance(read_checksum(root)))
