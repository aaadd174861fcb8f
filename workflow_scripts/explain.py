"""Heat maps of one shard of a split."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard, together
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.heatmaps import UnfinishedHeatMaps, write_heatmaps
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.restored import restore_classifier

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index, network = read_index(root), snakemake.params.network
    model = restore_classifier(network, len(index.classes), snakemake.input.weights)
    split = index.split(snakemake.wildcards.split)
    records, explainer = shard(split, *this.shard), from_plain(HeatMapSettings, snakemake.params.explainer)
    record, block = this.provenance(read_checksum(root)), together(split)
    with UnfinishedHeatMaps.of_job(snakemake.output[0], records, record, weights=snakemake.input.weights) as kept:
        settings = (explainer, this.device, block, snakemake.threads)
        maps = kept.resume(records, lambda rest: picture_heatmaps(model, index, rest, *settings), block)
        write_heatmaps(snakemake.output[0], progress(maps, len(records), "images"), kept.record(record))
