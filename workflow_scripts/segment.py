"""Predictions of a segmentation network for one shard of a split."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.data.workers import Workers
from seedbed.io.masks import UnfinishedMasks, write_masks
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.weights.loading import load_weights
from seedbed.settings.dense_crf import CrfSettings
from seedbed.train.segmentation import SegmenterSettings, build_segmenter, predict_masks

with job(snakemake) as this, Workers(snakemake.threads) as workers:  # forked before CUDA starts
    root = Path(snakemake.input.index).parent
    index, params = read_index(root), snakemake.params
    settings = from_plain(SegmenterSettings, params.segmenter)
    model = build_segmenter(settings, len(index.classes), this.seed, weights=None)
    load_weights(model, snakemake.input.weights)
    records = shard(index.split(snakemake.wildcards.split), *this.shard)
    crf = from_plain(CrfSettings, params.crf) if params.crf else None
    record = this.provenance(read_checksum(root))
    with UnfinishedMasks.of_job(snakemake.output[0], records, record, weights=snakemake.input.weights) as kept:
        options = (settings, crf, this.device, workers)
        masks = kept.resume(records, lambda rest: predict_masks(model, index, rest, *options))
        write_masks(snakemake.output[0], progress(masks, len(records), "images"), kept.record(record))
