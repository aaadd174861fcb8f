"""Train a segmentation network on pseudo masks."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.fingerprint import circumstances, fingerprint, with_changes
from seedbed.io.masks import MaskStore
from seedbed.io.plain import from_plain
from seedbed.io.weights import content_sha256, write_weights
from seedbed.settings.optimisation import following_cores
from seedbed.train.loop import finish
from seedbed.train.resume_identity import what_trains
from seedbed.train.segmentation import SegmenterSettings, train_segmenter

with job(snakemake, shared=True) as this:
    root = Path(snakemake.input.index).parent
    record, initial = this.provenance(data=read_checksum(root)), list(snakemake.input.weights)
    masks = MaskStore(snakemake.input.masks)
    contents = {"weights": [content_sha256(path) for path in initial], "masks": masks.content_sha256()}
    deciding = what_trains("segmentation", this.identity("segmenter"))
    model, history = train_segmenter(
        read_index(root),
        masks,
        from_plain(SegmenterSettings, following_cores(snakemake.params.segmenter, snakemake.threads)),
        seed=this.seed,
        weights=initial[0] if initial else None,
        state_path=Path(snakemake.params.state),
        fingerprint=fingerprint(record, deciding, **contents),
        circumstances=circumstances(record),
        device=this.device,
    )
    this.leave_the_rest_to_the_first()
    record = with_changes(record, history.computed_on)
    write_weights(snakemake.output.weights, model.state_dict(), record)
    history.write(snakemake.output.history)
    finish(Path(snakemake.params.state))
