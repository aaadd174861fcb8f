"""Masks of one shard by a random walk over learned affinities."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.masks import UnfinishedMasks, write_masks
from seedbed.io.progress import progress
from seedbed.models.registry import create_model
from seedbed.models.weights.loading import load_weights
from seedbed.params.stages import AffinityNetwork, Crf, RandomWalk
from seedbed.refine.affinity_walk import random_walk_refiner
from seedbed.refine.masks import pseudo_masks

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index, params = read_index(root), snakemake.params
    network = AffinityNetwork.model_validate(params.network)
    model = create_model(network.architecture, None, radius=network.radius, **network.options)
    load_weights(model, snakemake.input.weights)
    crf = Crf.model_validate(params.crf) if params.crf else None
    walk, labels = RandomWalk.model_validate(params.refiner), len(index.classes) + 1
    refine = random_walk_refiner(walk, network, model, crf, this.device, labels)
    records = shard(index.split(snakemake.wildcards.split), *this.shard)
    record, store = this.provenance(read_checksum(root)), HeatMapStore([snakemake.input.heatmaps])
    inputs = {"heatmaps": snakemake.input.heatmaps, "weights": snakemake.input.weights}
    with UnfinishedMasks.of_job(snakemake.output[0], records, record, **inputs) as kept:
        masks = kept.resume(records, lambda rest: pseudo_masks(index, rest, store, refine))
        write_masks(snakemake.output[0], progress(masks, len(records), "pictures"), kept.record(record))
