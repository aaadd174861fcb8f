"""Work goes on inside a job that was killed: in a moved folder, under other guards; what does not fit is set aside."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from snakemake_runs import PATIENCE, command, environment, run

pytestmark = pytest.mark.workflow
CLASSIFIER = "results/demo/classifiers/shapes/vit_hybrid/seed0"
LONG = "models__vit_hybrid__train__epochs=15"


def killed_when(ready, workdir, *arguments):
    """Run until ``ready()``, then kill Snakemake and its jobs; fails if the run ends before."""
    process = subprocess.Popen(
        command(workdir, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(workdir),
        start_new_session=True,
    )
    reach = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None and time.monotonic() < reach
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_shard_killed_in_the_middle_goes_on_inside_it(copy_of_finished):
    """The CRF takes half a second an image here, and a shard holds six."""
    (shard,) = copy_of_finished.glob("results/demo/affinity/**/affinitynet_hybrid/**/low/1-of-2.h5")
    target = str(shard.relative_to(copy_of_finished))
    slow = ("--config", "crf__small__iterations=600", "--", target)

    def kept():
        return next(shard.parent.glob(f".{shard.name}.unfinished-*"), None)

    killed_when(lambda: kept() and kept().stat().st_size > 60_000, copy_of_finished, *slow)
    assert not shard.exists()
    assert kept()
    done = run(copy_of_finished, *slow)
    assert done.returncode == 0, done.stdout[-4000:]
    (log,) = copy_of_finished.glob("results/demo/logs/affinity/**/affinitynet_hybrid/**/labels/1-of-2.log")
    assert re.search(r"[1-5] of 6 images were finished by an earlier attempt", log.read_text())
    assert not kept()
    high = shard.parents[1] / "high" / shard.name
    found = shard.read_bytes(), high.read_bytes()
    again = run(copy_of_finished, "--force", *slow)
    assert again.returncode == 0, again.stdout[-4000:]
    assert (shard.read_bytes(), high.read_bytes()) == found


@pytest.mark.slow
def test_a_training_goes_on_elsewhere_and_is_not_lost_to_a_setting(copy_of_finished, tmp_path):
    classifier = copy_of_finished / CLASSIFIER
    state = classifier / "resume.pt"
    target = ("--", f"{CLASSIFIER}/model.safetensors")
    killed_when(state.exists, copy_of_finished, "--config", LONG, *target)
    assert not (classifier / "model.safetensors").exists()

    moved = tmp_path / "elsewhere"
    shutil.move(copy_of_finished, moved)
    classifier, state = moved / CLASSIFIER, moved / CLASSIFIER / "resume.pt"
    rate = "models__vit_hybrid__train__lr=0.0003"
    other = run(moved, "--config", LONG, rate, *target)
    assert other.returncode == 0, other.stdout[-4000:]
    assert re.search(
        r"Rule train_classifier: Starting from the first step: .*resume\.pt belongs to other settings, data or code "
        r"\(settings\.lr: [\d.e-]+ before, 0\.0003 now\)\. It is kept as .*resume\.pt\.set-aside-",
        other.stdout,
    )
    assert list(classifier.glob("resume.pt.set-aside-*"))

    guards = ("models__vit_hybrid__train__save_every_seconds=50", "models__vit_hybrid__train__loader_workers=1")
    done = run(moved, "--config", LONG, *guards, *target)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(
        r"Rule train_classifier: Going on from step \d+, saved in .*, which had been set aside", done.stdout
    )
    assert not list(classifier.glob("resume.pt*"))
    found = weights(classifier)
    again = run(moved, "--force", "--config", LONG, *guards, *target)
    assert again.returncode == 0, again.stdout[-4000:]
    assert weights(classifier) == found
    assert "set aside" not in again.stdout


def weights(folder):
    return (folder / "model.safetensors").read_bytes(), (folder / "history.csv").read_bytes()
