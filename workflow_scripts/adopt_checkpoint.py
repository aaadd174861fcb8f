"""Put a published checkpoint where the network trained here would lie, as safetensors; no pickle is executed."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.atomic import write_json
from seedbed.io.plain import from_plain
from seedbed.io.weights import write_weights
from seedbed.models.checkpoints import PublishedNetwork, adopt_checkpoint

with job(snakemake) as this:
    params, root = snakemake.params, Path(snakemake.input.index).parent
    network, dataset = from_plain(PublishedNetwork, params.network), snakemake.wildcards.dataset
    classes, texts = len(read_index(root).classes), snakemake.input.get("texts")
    model, record = adopt_checkpoint(network, params.name, dataset, classes, texts[0] if texts else None)
    provenance = this.provenance(data=read_checksum(root), checkpoint=record)
    write_weights(snakemake.output.weights, model.state_dict(), provenance)
    write_json(snakemake.output.record, {**record, "provenance": provenance})
