"""Put a published checkpoint where the network trained here would lie, as safetensors; no pickle is executed."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.atomic import write_json
from seedbed.io.weights import write_weights
from seedbed.models.checkpoints import adopt_checkpoint
from seedbed.params.stages import AffinityNetwork, Classifier, Segmenter

SECTIONS = {"models": Classifier, "affinity_networks": AffinityNetwork, "segmenters": Segmenter}

with job(snakemake) as this:
    params, root = snakemake.params, Path(snakemake.input.index).parent
    network, dataset = SECTIONS[params.kind].model_validate(params.network), snakemake.wildcards.dataset
    model, record = adopt_checkpoint(network, params.name, dataset, len(read_index(root).classes))
    provenance = this.provenance(data=read_checksum(root), checkpoint=record)
    write_weights(snakemake.output.weights, model.state_dict(), provenance)
    write_json(snakemake.output.record, {**record, "provenance": provenance})
