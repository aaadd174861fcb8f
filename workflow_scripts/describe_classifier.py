"""Put a pretrained network together: its weights, those of its parts, the texts of a data set's classes."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.plain import from_plain
from seedbed.io.weights import write_weights
from seedbed.train.classifier import ClassifierSettings, build_classifier, load_into

with job(snakemake) as this:
    root, (weights,), (texts,) = Path(snakemake.input.index).parent, snakemake.input.weights, snakemake.input.texts
    settings = from_plain(ClassifierSettings, snakemake.params.model)
    classes = settings.num_classes or len(read_index(root).classes)
    model = build_classifier(settings, classes, this.seed, weights, texts)
    parts = snakemake.params.model["parts"].items()
    for (module, part), file in zip(parts, snakemake.input.parts, strict=True):
        load_into(model, file, module, layout=part["layout"])
    write_weights(snakemake.output[0], model.state_dict(), this.provenance(data=read_checksum(root)))
