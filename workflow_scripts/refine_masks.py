"""Masks of one shard, straight from the heat maps or through a dense CRF."""

from pathlib import Path

from pydantic import TypeAdapter

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.masks import UnfinishedMasks, write_masks
from seedbed.io.progress import progress
from seedbed.params.stages import Argmax, Crf, DenseCrf
from seedbed.refine.masks import argmax_refiner, crf_refiner, pseudo_masks

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index, params = read_index(root), snakemake.params
    refiner = TypeAdapter(Argmax | DenseCrf).validate_python(params.refiner)
    if refiner.kind == "argmax":
        refine = argmax_refiner(params.background)
    else:
        refine = crf_refiner(Crf.model_validate(params.crf), refiner.alpha, params.background)
    records = shard(index.split(snakemake.wildcards.split), *this.shard)
    record, store = this.provenance(read_checksum(root)), HeatMapStore([snakemake.input.heatmaps])
    inputs = {"heatmaps": snakemake.input.heatmaps}
    with UnfinishedMasks.of_job(snakemake.output[0], records, record, **inputs) as kept:
        masks = kept.resume(records, lambda rest: pseudo_masks(index, rest, store, refine))
        write_masks(snakemake.output[0], progress(masks, len(records), "pictures"), kept.record(record))
