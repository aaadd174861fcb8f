"""Statistics of a classifier's attention on the images of one shard."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard
from seedbed.data.views import InputView
from seedbed.evaluate.attention import AttentionStatistics, count_attention
from seedbed.io.atomic import write_json
from seedbed.io.partial_counts import UnfinishedCounts
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.restored import restore_classifier

with job(snakemake) as this:
    root = Path(snakemake.input.index).parent
    index, network = read_index(root), snakemake.params.network
    model = restore_classifier(network, len(index.classes), snakemake.input.weights)
    chosen = shard(index.split(snakemake.wildcards.split), *this.shard)
    settings = from_plain(InputView, snakemake.params.input)

    def count(records, counts):
        begun = AttentionStatistics.from_dict(counts) if counts else None
        return count_attention(model, index, records, settings, this.device, begun=begun).to_dict()

    record = this.provenance(data=read_checksum(root))
    with UnfinishedCounts.of_job(snakemake.output[0], chosen, record, weights=snakemake.input.weights) as kept:
        counts = kept.resume(progress(chosen, len(chosen), "images"), len(chosen), count)
        write_json(snakemake.output[0], {"counts": counts, "provenance": kept.record(record)})
