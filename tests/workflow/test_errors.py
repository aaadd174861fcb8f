"""What a user gets to read after a mistake: the key, file or name at fault, and what to do."""

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios

import pytest
import yaml
from snakemake_runs import PATIENCE, REPOSITORY, command, environment, run

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "sedes=3"], ["sedes", "Did you mean 'seeds'"]),
        (["--config", "models__vit_hybrid__train__epochs=many"], ["models.vit_hybrid.train.epochs", "valid integer"]),
        (["--config", "models__vit_hybird__train__epochs=2"], ["vit_hybird", "Did you mean 'vit_hybrid'"]),
        (["--config", "models__exvit_dis__like=exvitt"], ["models.exvit_dis.like", "Did you mean 'exvit'"]),
        (["--config", "segmenters__deeplab_v1_resnet38__train__loss=pixel_cros_entropy"], ["Did you mean 'pixel_"]),
        (["--config", "protocols__localization__thresold=0.3"], ["localization.thresold", "Did you mean 'threshold'"]),
        (["--config", "preset=papr"], ["papr", "Did you mean 'paper'"]),
        (["--config", "seeds=[]"], ["seeds", "at least 1 item"]),
        (["--config", "gres=gpu:1"], ["gres: 'gpu:1' must be 'gpu'"]),
        (["--config", "dataset=/no/such/folder"], ["/no/such/folder", "is not a folder"]),
        (["--config", "dataset=007"], ["'007' is not a folder"]),
    ],
)
def test_parameters(tmp_path, arguments, expected):
    failed = run(tmp_path, "-n", *arguments)
    assert failed.returncode != 0
    for text in expected:
        assert text in failed.stdout
    assert "Traceback" not in failed.stdout


def test_a_refused_plan_says_what_is_wrong_and_no_more(tmp_path):
    failed = run(tmp_path, "-n", "--config", "models__exvit__train__loss=exvitt")
    assert failed.returncode != 0 and "WorkflowError" not in failed.stdout and ".smk" not in failed.stdout
    assert (
        failed.stdout.rstrip()
        .splitlines()[-1]
        .startswith("presets.demo.models.exvit.train.loss: Unknown loss 'exvitt'")
    )


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("vit_affinity_table9", ["vit_affinity_table9"]),
        ("results/demo/tables/vit_affinity/table9.csv", ["table9", "Did you mean"]),
        ("my_masks", ["--config dataset=/path/to/folder"]),
    ],
)
def test_targets(tmp_path, target, expected):
    failed = run(tmp_path, "-n", "--", target)
    assert failed.returncode != 0
    for text in expected:
        assert text in failed.stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["methods=grad_cam"], ["Unknown explanation method 'grad_cam'. Did you mean 'gradcam'"]),
        (["model=vit_hybird"], ["model=vit_hybird: is no network", "Did you mean 'vit_hybrid'"]),
    ],
)
def test_names_of_an_explained_image(tmp_path, options, expected):
    """A file whose name is a number is found; what is misspelt is said before the first job."""
    (tmp_path / "2012").write_bytes(b"")
    failed = run(tmp_path, "-n", "--config", "image=2012", *options, "--", "explain_image")
    assert failed.returncode != 0
    for text in expected:
        assert text in failed.stdout


def test_a_table_that_the_preset_cannot_make(tmp_path):
    presets = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["presets"]
    del presets["demo"]["stand_ins"]["coco14"]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump({"presets": {"bare": presets["demo"]}}))
    failed = run(
        tmp_path, "-n", "--configfile", str(tmp_path / "bare.yaml"), "--config", "preset=bare", "--", "exvit_table4"
    )
    assert failed.returncode != 0
    for text in ("exvit_table4 is not built", "dataset coco14", "snakemake help"):
        assert text in failed.stdout


def test_help_lists_every_target(tmp_path):
    shown = run(tmp_path, "--", "help")
    assert shown.returncode == 0
    for name in ("vit_affinity_table4", "agcam_table4", "exvit_figure8", "aream_table1", "my_masks"):
        assert name in shown.stdout


def test_results_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    failed = run(tmp_path, "--", "data/shapes/index.csv")
    assert failed.returncode != 0 and "results" in failed.stdout


def test_changed_shipped_weights_are_refused(tmp_path):
    """On a terminal, whose display of the run hides nothing of it and is taken away."""
    digest = "a" * 64
    weights = "data/weights/vit_tiny_r_s8.safetensors"
    code, said = on_a_terminal(tmp_path, "--config", f"weights__vit_tiny_r_s8__sha256={digest}", "--", weights)
    assert code != 0
    assert "vit_tiny_r_s8.safetensors: its sha256 is" in said and "Error in rule provide_shipped_weights:" in said
    assert "0 of 1 jobs done" in said and "weights\u00a00/1" in said
    assert "0 of 1 jobs done, 1 failed, in" in said[said.rindex("\x1b[r") :], "the display is gone"
    assert not (tmp_path / weights).exists()


def on_a_terminal(workdir, *arguments):
    """Run Snakemake on a pseudo-terminal; its exit code, and everything that it wrote there."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    shown = {**environment(workdir), "TERM": "xterm"}
    started = subprocess.Popen(command(workdir, *arguments), stdout=writer, stderr=writer, env=shown)
    os.close(writer)
    said = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
        while found := os.read(reader, 65536):
            said += found
    os.close(reader)
    return started.wait(PATIENCE), said.decode()


def test_an_interpreter_whose_path_holds_a_blank_and_a_record_that_waits_for_mlflow(tmp_path):
    """As in a clone below "my projects"; what waits is said at the end, once."""
    folder = tmp_path / "my venv"
    folder.symlink_to(sys.prefix)
    record = tmp_path / "results/demo/tracking/one/table1.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"status": "pending", "payload": {"key": "k", "name": "one_table1"}}))
    done = run(tmp_path, "--", "data/shapes/index.csv", python=folder / "bin/python")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (
        done.stdout.count("1 record(s) wait to be sent") == 1
        and "one_table1" in done.stdout
        and "make ui" in done.stdout
    )
