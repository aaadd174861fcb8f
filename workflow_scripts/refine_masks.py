"""Masks of one shard by a refiner."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.data.workers import Workers
from seedbed.io.atomic import read_json
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.masks import UnfinishedMasks, write_masks
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.refine.refiners import Given, build_refiner
from seedbed.settings.dense_crf import CrfSettings

with job(snakemake) as this, Workers(snakemake.threads) as workers:  # forked before CUDA starts
    root, params, files = Path(snakemake.input.index).parent, snakemake.params, snakemake.input
    index, background = read_index(root), params.get("background")
    if files.get("sweep"):
        background = read_json(files.sweep)["background_best"]
        if this.shard[0] == 1:
            this.say(f"background {background:g}, the best one for your masks of 'train' (docs/own_data.md)")
    given = Given(
        index=index,
        device=this.device,
        heatmaps=HeatMapStore([files.heatmaps]) if files.heatmaps else None,
        background=background,
        crf=from_plain(CrfSettings, params.crf) if params.crf else None,
        network=params.get("network"),
        weights=files.get("weights"),
        workers=workers,
    )
    make = build_refiner(params.refiner).start(given)
    records = shard(index.split(snakemake.wildcards.split), *this.shard)
    record = this.provenance(read_checksum(root))
    inputs = {name: files.get(name) for name in ("heatmaps", "weights", "sweep") if files.get(name)}
    with UnfinishedMasks.of_job(snakemake.output[0], records, record, **inputs) as kept:
        masks = kept.resume(records, make)
        write_masks(snakemake.output[0], progress(masks, len(records), "images"), kept.record(record))
