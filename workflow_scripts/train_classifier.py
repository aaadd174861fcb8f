"""Train a classifier on image-level labels and measure it on held-out images."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.evaluate.classification import evaluate_classifier, held_out_records
from seedbed.io.atomic import write_json
from seedbed.io.fingerprint import circumstances, fingerprint, with_changes
from seedbed.io.plain import from_plain
from seedbed.io.weights import content_sha256, write_weights
from seedbed.settings.optimisation import following_cores
from seedbed.train.best_epoch import CHOICES
from seedbed.train.classifier import ClassifierSettings, train_classifier
from seedbed.train.loop import finish
from seedbed.train.resume_identity import what_trains

with job(snakemake, shared=True) as this:
    plain = snakemake.params.model
    settings = from_plain(ClassifierSettings, following_cores(plain, snakemake.threads))
    root = Path(snakemake.input.index).parent
    index, record = read_index(root), this.provenance(data=read_checksum(root))
    initial, held_out = list(snakemake.input.weights), held_out_records(index, plain["held_out"])
    texts = list(snakemake.input.texts)
    deciding = what_trains("classifier", this.identity("model"))
    keep, seen = plain["keep"], (settings.input.normalize, this.device)
    model, history = train_classifier(
        index,
        settings,
        seed=this.seed,
        weights=initial[0] if initial else None,
        texts=texts[0] if texts else None,
        state_path=Path(snakemake.params.state),
        fingerprint=fingerprint(record, deciding, weights=[content_sha256(path) for path in (*initial, *texts)]),
        circumstances=circumstances(record),
        device=this.device,
        score=CHOICES.find(keep["by"])(index, keep, *seen) if keep else None,
    )
    this.leave_the_rest_to_the_first()
    record = with_changes(record, history.computed_on)
    metrics = evaluate_classifier(model, index, held_out, settings.input, this.device)
    write_weights(snakemake.output.weights, model.state_dict(), record)
    history.write(snakemake.output.history)
    chosen = {f"kept_{name}": value for name, value in history.kept.items()}
    write_json(snakemake.output.metrics, {**metrics, **chosen, "provenance": record})
    finish(Path(snakemake.params.state))
