"""Train an affinity network on confident labels."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.fingerprint import circumstances, fingerprint, with_changes
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.plain import from_plain
from seedbed.io.weights import content_sha256, write_weights
from seedbed.settings.optimisation import following_cores
from seedbed.train.affinity import AffinitySettings, train_affinity_network
from seedbed.train.loop import finish
from seedbed.train.resume_identity import what_trains

with job(snakemake, shared=True) as this:
    root = Path(snakemake.input.index).parent
    record, initial = this.provenance(data=read_checksum(root)), list(snakemake.input.weights)
    low, high = HeatMapStore(snakemake.input.low), HeatMapStore(snakemake.input.high)
    contents = {"weights": [content_sha256(path) for path in initial]}
    contents |= {"low": low.content_sha256(), "high": high.content_sha256()}
    deciding = what_trains("affinity", this.identity("network"))
    model, history = train_affinity_network(
        read_index(root),
        low,
        high,
        from_plain(AffinitySettings, following_cores(snakemake.params.network, snakemake.threads)),
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
