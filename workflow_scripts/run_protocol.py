"""Explain and measure the images of one shard."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard, subset, together
from seedbed.evaluate.protocols.measured_shard import run_protocol
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.atomic import write_json
from seedbed.io.partial_counts import UnfinishedCounts
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.restored import restore_classifier

with job(snakemake) as this:
    root, params = Path(snakemake.input.index).parent, snakemake.params
    index, network, protocol = read_index(root), params.network, params.protocol
    model = restore_classifier(network, len(index.classes), snakemake.input.weights)
    whole = subset(index.split(snakemake.wildcards.split), protocol["subset"])
    chosen = shard(whole, *this.shard)
    explainer, block = from_plain(HeatMapSettings, params.explainer), together(whole)

    def count(records, begun):
        measured = (protocol["name"], model, index, records, explainer, protocol["options"], this.device)
        return run_protocol(*measured, block=block, begun=begun)

    record = this.provenance(data=read_checksum(root))
    with UnfinishedCounts.of_job(snakemake.output[0], chosen, record, weights=snakemake.input.weights) as kept:
        counts = kept.resume(progress(chosen, len(chosen), "images"), len(chosen), count, block)
        write_json(snakemake.output[0], {"counts": counts, "provenance": kept.record(record)})
