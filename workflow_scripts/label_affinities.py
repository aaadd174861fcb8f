"""Dense CRF posteriors of one shard under a low and a high background exponent."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.io.heatmaps import HeatMapStore, UnfinishedHeatMaps, write_heatmaps
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.refine.posteriors import PosteriorSettings, confident_posteriors
from seedbed.settings.dense_crf import CrfSettings

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index, record = read_index(root), this.provenance(data=read_checksum(root))
    parts = [shard(index.split(split), *this.shard) for split in snakemake.params.splits]
    records = [item for part in parts for item in part if item.labels]
    labels = from_plain(PosteriorSettings, snakemake.params.labels)
    crf = from_plain(CrfSettings, snakemake.params.crf)
    store = HeatMapStore(snakemake.input.heatmaps)
    inputs = {f"heatmaps_{number}": path for number, path in enumerate(snakemake.input.heatmaps)}
    with UnfinishedHeatMaps.of_job(snakemake.output.low, records, record, **inputs) as kept:
        found = kept.resume(records, lambda rest: confident_posteriors(index, rest, store, labels, crf))
        pairs = list(progress(found, len(records), "images"))
        record = kept.record(record)
        write_heatmaps(snakemake.output.low, ((image, low) for image, low, _ in pairs), record)
        write_heatmaps(snakemake.output.high, ((image, high) for image, _, high in pairs), record)
