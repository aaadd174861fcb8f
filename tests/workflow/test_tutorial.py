"""What docs/tutorial.md tells a reader to write really works, and leaves plans and tests of the project green."""

import re
import shutil
import subprocess
import sys

import pytest
from newcomer import add, blocks
from snakemake_runs import MICRO, PATIENCE, REPOSITORY, copy_project, environment, jobs_of, run

pytestmark = pytest.mark.workflow

ADDITIONS = {
    6: {"src/seedbed/explain/centre.py", "params.yaml"},
    7: {"src/seedbed/refine/relative_threshold.py", "params.yaml"},
    8: {"src/seedbed/evaluate/protocols/pointing.py"},
    9: {"src/seedbed/models/vit_mean.py", "src/seedbed/train/focal_loss.py", "params.yaml", "papers/mine.yaml"},
    10: {
        "src/seedbed/models/patch_decoder.py", "src/seedbed/train/patch_teaching.py", "params.yaml",
        "papers/single.yaml",
    },
    11: {"src/seedbed/data/published/leaves.py", "src/seedbed/data/raw/sources.yaml", "params.yaml"},
    12: {"src/seedbed/explain/patch_likeness.py", "params.yaml", "papers/words.yaml"},
}  # fmt: skip
"""Section -> what it touches: the table "How to add" of docs/architecture.md."""
INVENTORIES = (
    *("explain_beyond", "explain_call", "explanations_page", "layers", "library_names", "measurements"),
    *("models_registry", "paper_preset", "papers_data", "params_like", "plan_checks", "plan_code"),
    *("plan_paper_checks", "refiners", "schemas", "security", "sources"),
)
"""Tests that read what is registered, or the files of parameters, papers and sources."""
USE = """
from pathlib import Path
import numpy as np, torch
from PIL import Image
from seedbed.data.published.catalogue import PUBLISHED
from seedbed.evaluate.measurements import build_measurement
from seedbed.explain import explain
from seedbed.models import create_model
from seedbed.models.texts import Texts
from seedbed.refine.refiners import build_refiner
from seedbed.train.objectives import build_objective

images = torch.zeros(2, 3, 96, 96)
maps = explain(create_model("vit_tiny_patch8_96", 6).eval(), images, None, "centre")
assert maps.shape == (2, 12, 12) and maps[0, 5, 5] > maps[0, 0, 0]

class Heat:
    maps = np.array([[[1.0, 0.2]], [[0.1, 0.6]]])

refiner = build_refiner({"kind": "relative_threshold", "share": 0.7})
assert refiner.positions(None, Heat).tolist() == [[1, 2]]

shards = [{"hits": 1, "images": 2}, {"hits": 2, "images": 2}]
assert type(build_measurement("pointing", {})).merge(shards) == {"hits": 0.75, "images": 4}

model = create_model("vit_mean_tiny", 2)
loss, _ = build_objective("focal", gamma=0.0)(model, (images, torch.ones(2, 2)))
assert 0 < float(loss) and model(images).shape == (2, 2)
assert explain(model.eval(), images, [[0], [1]], "cam").shape == (2, 1, 12, 12)

single = create_model("patch_decoder_tiny", 2)
loss, parts = build_objective("patch_teaching")(single, (images, torch.ones(2, 2)))
assert set(parts) == {"class", "pixels"} and single.pixel_scores(images).shape == (2, 3, 96, 96)

clip = create_model("clip_vit_tiny_8", 2, background_texts=1)
clip.set_texts(Texts(torch.eye(64)[:2], torch.eye(64)[2:3]))
maps = explain(clip.eval(), images, [[0, 1], [1, -1]], "patch_likeness")
assert maps.shape == (2, 2, 12, 12) and 0 <= float(maps.min()) and float(maps.max()) <= 1 and maps[1, 1].sum() == 0

for split, label in (("train", "oak"), ("train", "ash"), ("val", "oak")):
    file = Path("leaves/raw/leaves_images/leaves") / split / label / f"{split}_{label}.jpg"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (5, 4)).save(file)
index = PUBLISHED.find("leaves")("leaves", expected={"train": 2, "val": 1})
assert index.classes == ("ash", "oak") and index.splits() == {"train": 2, "trainaug": 2, "val": 1}
"""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A copy of the project, with its tests, to which sections 5 to 12 are added."""
    root = copy_project(tmp_path_factory.mktemp("newcomer"))
    for name in ("tests", "docs", "datasets", "tools"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (path for path in REPOSITORY.iterdir() if path.is_file() and not (root / path.name).exists()):
        shutil.copy(path, root / path.name)
    assert add(root, 5).keys() == {"papers/agcam.yaml"}
    for number, touched in ADDITIONS.items():
        assert add(root, number).keys() == touched
    for package in ("params", "papers"):  # make schemas
        python(root, "-m", f"seedbed.{package}", "schema")
    return root


def python(root, *arguments):
    """Run Python with the copy's library, in the copy."""
    variables = {**environment(root), "PYTHONPATH": str(root / "src")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def test_the_python_of_section_4(finished, monkeypatch):
    monkeypatch.chdir(finished)
    found: dict = {}
    ((_, code),) = blocks(4, "python")
    exec(code, found)
    assert found["maps"].shape == (1, 1, 12, 12)
    assert float(found["maps"].abs().sum()) > 0


def test_the_commands_of_section_3(finished):
    overridden, shown = (text.split() for _, text in blocks(3, "bash")[:2])
    planned = run(finished, "-n", "--config", overridden[overridden.index("--config") + 1], "--", overridden[-1])
    assert planned.returncode == 0, planned.stdout[-2000:]
    assert "random_walk" in planned.stdout
    assert "train_classifier" not in planned.stdout.split("Job stats")[1]
    entry = run(finished, "--config", *shown[shown.index("--config") + 1 :], "--", "params")
    assert re.search(r"beta: 4\.0 +# command line", entry.stdout), entry.stdout[-2000:]


def test_what_a_reader_adds_works(newcomer, tmp_path):
    (tmp_path / "use.py").write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{USE}")
    python(newcomer, str(tmp_path / "use.py"))


def test_what_a_reader_adds_is_planned(newcomer, tmp_path):
    command = ["-m", "snakemake", "-n", "--cores", "1", "--directory", str(tmp_path)]
    targets = ("mine_table1", "mine_table2", "agcam_table2", "single_table1", "words_table1")
    demo = jobs_of(python(newcomer, *command, "--configfile", str(MICRO), "--", *targets))
    assert (
        demo["make_table"] == 5
        and demo["score_prediction"] == 1
        and demo["train_segmenter"] == 1
        and demo["merge_protocol"] == 5
        and demo["encode_texts"] == 1
    )
    texts = jobs_of(python(newcomer, *command, "--config", "preset=paper", "--", "words_table1"))
    assert texts["encode_texts"] == 1 and "train_classifier" not in texts
    published = jobs_of(python(newcomer, *command, "--config", "preset=paper", "--", "data/leaves/index.csv"))
    assert published == {"fetch_source": 1, "unpack_source": 1, "prepare_dataset": 1}


@pytest.mark.slow
def test_the_projects_tests_stay_green(newcomer):
    files = [f"tests/unit/test_{name}.py" for name in INVENTORIES]
    python(newcomer, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files)
