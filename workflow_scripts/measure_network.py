"""Measure a classifier itself, without an explainer, on the images of one shard."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.data.views import InputView
from seedbed.evaluate.measurements import build_measurement
from seedbed.evaluate.protocols.shown_network import ShownNetwork
from seedbed.io.atomic import write_json
from seedbed.io.partial_counts import UnfinishedCounts
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.restored import restore_classifier

with job(snakemake) as this:
    root, params = Path(snakemake.input.index).parent, snakemake.params
    index, measured = read_index(root), build_measurement(params.protocol["name"], params.protocol["options"])
    model = restore_classifier(params.network, len(index.classes), snakemake.input.weights).to(this.device).eval()
    chosen = shard(index.split(snakemake.wildcards.split), *this.shard)
    view = from_plain(InputView, params.input)

    def count(records, begun):
        return measured.count_network(ShownNetwork(model, index, records, view, this.device, begun))

    record = this.provenance(data=read_checksum(root))
    with UnfinishedCounts.of_job(snakemake.output[0], chosen, record, weights=snakemake.input.weights) as kept:
        counts = kept.resume(progress(chosen, len(chosen), "images"), len(chosen), count)
        write_json(snakemake.output[0], {"counts": counts, "provenance": kept.record(record)})
