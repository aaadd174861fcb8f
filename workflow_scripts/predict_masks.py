"""Masks that a classifier with a decoder predicts itself, for one shard of a split."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.data.workers import Workers
from seedbed.io.masks import UnfinishedMasks, write_masks
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.restored import restore_classifier
from seedbed.settings.dense_crf import CrfSettings
from seedbed.train.segmentation import PredictionSettings, predict_masks

with job(snakemake) as this, Workers(snakemake.threads) as workers:  # forked before CUDA starts
    root, params = Path(snakemake.input.index).parent, snakemake.params
    index = read_index(root)
    settings = from_plain(PredictionSettings, {**params.prediction, "input": params.input})
    model = restore_classifier(params.network, len(index.classes), snakemake.input.weights)
    records = shard(index.split(snakemake.wildcards.split), *this.shard)
    crf = from_plain(CrfSettings, params.crf) if params.crf else None
    record = this.provenance(read_checksum(root))
    with UnfinishedMasks.of_job(snakemake.output[0], records, record, weights=snakemake.input.weights) as kept:
        options = (settings, crf, this.device, workers)
        masks = kept.resume(records, lambda rest: predict_masks(model, index, rest, *options))
        write_masks(snakemake.output[0], progress(masks, len(records), "images"), kept.record(record))
