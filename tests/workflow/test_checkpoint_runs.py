"""Published checkpoints through the DAG: nothing is trained, and the same weights give the same numbers."""

import argparse
import csv
import json

import pytest
import torch
from snakemake_runs import TABLE, jobs_of, run

from seedbed.io.provenance import file_sha256
from seedbed.io.weights import read_weights

pytestmark = pytest.mark.workflow
RESULTS = "results/demo"


def published(workdir, network, path):
    """The weights trained in ``workdir``, as training scripts publish theirs: a nested pickle with the command line."""
    (file,) = (workdir / RESULTS).glob(f"{network}/shapes/vit_hybrid/**/model.safetensors")
    tensors = {f"module.{name}": tensor for name, tensor in read_weights(file).items()}
    torch.save({"model": tensors, "epoch": 7, "args": argparse.Namespace(lr=0.1)}, path)
    return path


def rows_of(workdir):
    with (workdir / f"{TABLE}.csv").open(newline="") as stream:
        return {row["row"]: row for row in csv.DictReader(stream)}


@pytest.mark.slow
def test_a_segmenters_checkpoint_gives_its_own_numbers(copy_of_finished, tmp_path):
    path = published(copy_of_finished, "segmenters", tmp_path / "deeplab.pth")
    before = rows_of(copy_of_finished)
    options = ["--config", f"segmenters__deeplab_v1_resnet38__checkpoint={path}", "--", f"{TABLE}.csv"]
    done = run(copy_of_finished, *options)
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(jobs_of(done.stdout)) == {"adopt_segmenter", "segment", "score_segmentation", "make_table"}
    after = rows_of(copy_of_finished)
    assert after["segmentation"]["measured"] == before["segmentation"]["measured"]
    assert "deeplab_v1_resnet38-checkpoint" in after["segmentation"]["sources"]
    assert file_sha256(path) in (copy_of_finished / f"{TABLE}.md").read_text()
    records = [*(copy_of_finished / RESULTS).glob("segmenters/**/checkpoint.json")]
    assert len(records) == 2  # of pseudo masks' row and of the fully supervised one
    for record in records:
        assert json.loads(record.read_text())["file"] == str(path)


def test_checkpoints_of_all_kinds_leave_nothing_to_train(finished, tmp_path):
    path = published(finished, "classifiers", tmp_path / "net.pth")
    kinds = ("models__vit_hybrid", "affinity_networks__affinitynet_hybrid", "segmenters__deeplab_v1_resnet38")
    planned = run(finished, "-n", "--config", *(f"{kind}__checkpoint={path}" for kind in kinds), "--", f"{TABLE}.html")
    jobs = set(jobs_of(planned.stdout))
    assert {"adopt_classifier", "adopt_affinity_network", "adopt_segmenter", "explain", "random_walk"} <= jobs
    assert not {job for job in jobs if job.startswith(("train_", "label_"))}


def test_a_missing_file_is_named(finished):
    failed = run(finished, "-n", "--config", "models__vit_hybrid__checkpoint=/no/such.pth", "--", f"{TABLE}.csv")
    assert failed.returncode != 0 and "models.vit_hybrid.checkpoint: there is no file /no/such.pth" in failed.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_checkpoints_give_the_trained_networks_numbers(copy_of_finished, tmp_path):
    before = rows_of(copy_of_finished)
    kinds = {"models__vit_hybrid": "classifiers", "affinity_networks__affinitynet_hybrid": "affinity"}
    files = {kind: published(copy_of_finished, folder, tmp_path / f"{folder}.pth") for kind, folder in kinds.items()}
    options = [f"{kind}__checkpoint={path}" for kind, path in files.items()]
    done = run(copy_of_finished, "--config", *options, "--", f"{TABLE}.html")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "train_classifier" not in jobs_of(done.stdout)
    assert {name: row["measured"] for name, row in rows_of(copy_of_finished).items()} == {
        name: row["measured"] for name, row in before.items()
    }
