"""Train an affinity network on confident labels."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.io.heatmaps import HeatMapStore
from seedbed.io.plain import from_plain
from seedbed.io.provenance import digest_files
from seedbed.io.weights import write_weights
from seedbed.train.affinity import AffinitySettings, train_affinity_network
from seedbed.train.loop import finish

with job(snakemake, shared=True) as this:
    root = Path(snakemake.input.index).parent
    record, initial = this.provenance(data=read_checksum(root)), list(snakemake.input.weights)
    made_from = digest_files([*initial, *snakemake.input.low, *snakemake.input.high])
    model, history = train_affinity_network(
        read_index(root),
        HeatMapStore(snakemake.input.low),
        HeatMapStore(snakemake.input.high),
        from_plain(AffinitySettings, snakemake.params.network),
        seed=this.seed,
        weights=initial[0] if initial else None,
        state_path=Path(snakemake.params.state),
        fingerprint={"provenance": record, "made_from": made_from},
        device=this.device,
    )
    this.leave_the_rest_to_the_first()
    write_weights(snakemake.output.weights, model.state_dict(), record)
    history.write(snakemake.output.history)
    finish(Path(snakemake.params.state))
