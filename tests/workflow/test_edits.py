"""What an edit of the sources, of a parameter's default or of a release makes run again: what it changes, nothing else.

Nothing is computed: every file of a table is put in place empty and recorded as finished by Snakemake itself.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snakemake_runs import MICRO, PATIENCE, artifacts, copy_project, environment, jobs_of

pytestmark = pytest.mark.workflow

TARGET = "vit_affinity_table4"
TABLES = {"make_table", "render_table", "track_table"}
SCORES = {"score_heatmaps", "score_pseudo_masks", "score_segmentation", *TABLES}
WALK = {"random_walk", "score_pseudo_masks", "train_segmenter", "segment", "score_segmentation", *TABLES}
AFFINITY = {"train_affinity_network", *WALK}
MAPS = {"explain", "label_affinities", *SCORES, *AFFINITY}
CHAIN = {"train_classifier", *MAPS}
"""Rules behind the table, from the classifier on."""
LOSS = '''"""A loss."""

from seedbed.train.objectives import loss


@loss("newcomer")
class Newcomer:
    """Nothing yet."""
'''
LAYOUT = '''"""A layout."""

from seedbed.models.weights.conversion import Converted, layout


@layout("newcomer")
def newcomer(tensors, model):
    """As they are."""
    return Converted(tensors)
'''


class Project:
    """A copy of the sources, beside a finished table."""

    def __init__(self, root: Path) -> None:
        self.root = copy_project(root)
        self.before = {path: path.read_text() for path in self.sources()}

    def sources(self):
        return [path for name in ("src", "workflow_scripts") for path in (self.root / name).rglob("*.py")]

    def command(self, *arguments):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile"), "--cores", "1"]
        return [*command, "--directory", str(self.root), "--configfile", str(MICRO), *arguments, "--", TARGET]

    def snakemake(self, *arguments):
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env=environment(self.root), timeout=PATIENCE
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout

    def finish(self):
        for line in self.snakemake("--summary").splitlines()[1:]:
            path = self.root / line.split("\t")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self.snakemake("--touch", "--forceall")

    def planned(self):
        """Rules that would run."""
        return {rule for rule in jobs_of(self.snakemake("-n")) if rule != TARGET}

    def edit(self, path, old, new):
        file = self.root / path
        text = file.read_text()
        assert re.search(old, text, re.M), f"{path} has no {old}"
        file.write_text(re.sub(old, new, text, count=1, flags=re.M))

    def restore(self):
        for path in self.sources():
            if path not in self.before:
                path.unlink()
            elif path.read_text() != self.before[path]:
                path.write_text(self.before[path])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    project.finish()
    return project


@pytest.fixture
def project(finished):
    yield finished
    finished.restore()


def test_a_finished_table_is_finished(project):
    assert project.planned() == set()


NOTHING = [
    ("src/seedbed/__init__.py", '^__version__ = ".*"', '__version__ = "99.0"'),  # a release
    ("src/seedbed/errors.py", "Something outside the code", "Anything outside the code"),  # a docstring
    ("workflow_scripts/job.py", "^# What imports make", "# Whatever imports make"),  # a comment
    ("workflow_scripts/train_classifier.py", r"\A", "# a comment\n"),
    ("src/seedbed/models/exvit.py", r'\A"""', '"""Of another method: '),
    (
        "src/seedbed/models/exvit.py",
        "^class ExViT",
        "CHANGED = 1\n\n\nclass ExViT",
    ),  # code that this table does not use
    ("src/seedbed/settings/optimisation.py", r"^(    bf16: bool = True)$", r"\1\n    newcomer: float = 0.5"),
    ("src/seedbed/params/mask_prediction.py", "^(    flip: bool = False)$", r"\1\n    newcomer: bool = False"),
    ("src/seedbed/refine/crf.py", r"raise (\w+)\(", r'raise \1("Now: " + '),  # the words of a message
    ("src/seedbed/settings/optimisation.py", r"^(    loader_workers: .* = )0$", r"\g<1>2"),  # changes no result
]


@pytest.mark.parametrize(("path", "old", "new"), NOTHING, ids=[f"{edit[0]}-{n}" for n, edit in enumerate(NOTHING)])
def test_an_edit_that_changes_no_number_reruns_nothing(project, path, old, new):
    project.edit(path, old, new)
    assert project.planned() == set()


@pytest.mark.parametrize(
    ("path", "text"), [("src/seedbed/train/newcomer.py", LOSS), ("src/seedbed/models/newcomer.py", LAYOUT)]
)
def test_a_new_loss_and_a_new_layout_of_weights_rerun_nothing(project, path, text):
    (project.root / path).write_text(text)
    assert project.planned() == set()


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        # what the classifier learns by
        ("train/classification_losses.py", "multilabel_soft_margin_loss", "soft_margin_loss", CHAIN),
        # a relevance rule
        ("explain/transformer_attribution.py", "start_layer: int = 0", "start_layer: int = 1", MAPS),
        # a default that two of the table's networks use
        ("settings/optimisation.py", "^    beta2: Fraction = 0.999", "    beta2: Fraction = 0.99", AFFINITY),
        ("refine/walk.py", "^import numpy", "CHANGED = 1\nimport numpy", WALK),
        ("evaluate/confusion.py", "^class ConfusionMatrix", "CHANGED = 1\n\n\nclass ConfusionMatrix", SCORES),
        ("report/page.py", "^def render_page", "CHANGED = 1\n\n\ndef render_page", {"render_table", "track_table"}),
    ],
)
def test_a_true_change_reruns_what_comes_after_it(project, path, old, new, expected):
    project.edit(f"src/seedbed/{path}", old, new)
    assert project.planned() == expected


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_edited_and_continued_ends_in_the_same_bytes(tmp_path):
    """An edit of comments and docstrings between a kill and the next run."""
    edited, whole = Project(tmp_path / "edited"), Project(tmp_path / "whole")
    process = subprocess.Popen(edited.command(), env=environment(edited.root), start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while not list(edited.root.glob("results/demo/heatmaps/**/*.h5")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in edited.sources():
        path.write_text("# another comment\n" + path.read_text())
    edited.snakemake()
    whole.snakemake()
    assert artifacts(edited.root) == artifacts(whole.root)
