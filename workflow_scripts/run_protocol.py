"""Explain and measure the pictures of one shard."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index, shard, subset, together
from seedbed.evaluate.protocols import run_protocol
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.atomic import write_json
from seedbed.io.plain import from_plain
from seedbed.io.progress import progress
from seedbed.models.restored import restore_classifier

with job(snakemake) as this:
    root, params = Path(snakemake.input.index).parent, snakemake.params
    index, network, protocol = read_index(root), params.network, params.protocol
    model = restore_classifier(network, len(index.classes), snakemake.input.weights)
    whole = subset(index.split(snakemake.wildcards.split), protocol["subset"])
    chosen = shard(whole, *this.shard)
    records = progress(chosen, len(chosen), "pictures")
    explainer = from_plain(HeatMapSettings, params.explainer)
    measured = (protocol["name"], model, index, records, explainer, protocol["options"], this.device)
    counts = run_protocol(*measured, block=together(whole))
    write_json(snakemake.output[0], {"counts": counts, "provenance": this.provenance(data=read_checksum(root))})
