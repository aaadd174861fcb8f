"""Modules that are said never to change a number: a small chain gives the same artifacts with all of them changed.

Each change is one that a result would show if it could: other defaults, other versions, other files, no resuming.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import seedbed
from seedbed.io.identity import NEUTRAL

LIBRARY = Path(seedbed.__file__).parent
PROGRAM = Path(__file__).with_name("neutral_program.py")
CHANGES = {
    "seedbed": ("__init__.py", r'__version__ = ".*"', '__version__ = "99.0"'),
    "seedbed.errors": ("errors.py", r"Did you mean", "Perhaps"),
    "seedbed.devices": ("devices/torch_device.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.params": ("params/explainers.py", r"batch_size: Positive = 16", "batch_size: Positive = 3"),
    "seedbed.settings": ("settings/optimisation.py", r"beta2: Fraction = 0\.999", "beta2: Fraction = 0.5"),
    "seedbed.io.annotations": ("io/annotations.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.io.atomic": ("io/atomic.py", r'suffix="\.part"', 'suffix=".piece"'),
    "seedbed.io.catalogue": ("io/catalogue.py", r"is entered twice", "comes twice"),
    "seedbed.io.declarations": ("io/declarations.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.io.filelock": ("io/filelock.py", r"Going on without", "Without"),
    "seedbed.io.fingerprint": ("io/fingerprint.py", r"_SHOWN = 6", "_SHOWN = 1"),
    "seedbed.io.identity": ("io/identity.py", r"hashlib\.sha256", "hashlib.sha512"),
    "seedbed.io.notice": ("io/notice.py", r'"seedbed\.terminal"', '"seedbed.elsewhere"'),
    "seedbed.io.partial": ("io/partial.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.io.partial_counts": ("io/partial_counts.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.io.partial_items": ("io/partial_items.py", r"_SYNC_SECONDS = 5\.0", "_SYNC_SECONDS = 0.0"),
    "seedbed.io.plain": ("io/plain.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.io.progress": ("io/progress.py", r"yield from tqdm\(.*\)", "yield from items"),
    "seedbed.io.provenance": ("io/provenance.py", r'"scipy", ', ""),
    "seedbed.io.registrations": ("io/registrations.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.io.signatures": ("io/signatures.py", r"\Z", "\nCHANGED = 1\n"),
    "seedbed.train.resume_identity": (
        "train/resume_identity.py",
        r'_NEUTRAL = \("save_every_seconds", ',
        "_NEUTRAL = (",
    ),
    "seedbed.train.state": ("train/state.py", r"\Z", "\nCHANGED = 1\n"),
}
"""Neutral module -> the file of it that is changed, what is replaced there, and by what."""


def artifacts(library: Path, folder: Path) -> dict[str, str]:
    """Checksums of what the chain makes with a library."""
    command = [sys.executable, str(PROGRAM), str(folder)]
    environment = {"PYTHONPATH": str(library.parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_neutral_module_is_tried():
    assert set(CHANGES) == {name for name in NEUTRAL if name != "job"}  # the frame of the scripts computes nothing


def test_no_neutral_module_changes_an_artifact(tmp_path):
    changed = tmp_path / "changed" / "seedbed"
    shutil.copytree(LIBRARY, changed, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (path, old, new) in CHANGES.items():
        text = (changed / path).read_text()
        assert re.search(old, text), f"{name}: {path} has no {old}"
        (changed / path).write_text(re.sub(old, lambda _, new=new: new, text, count=1))
    assert artifacts(changed, tmp_path / "b") == artifacts(LIBRARY, tmp_path / "a")


def test_the_chain_shows_a_change_of_what_computes(tmp_path):
    changed = tmp_path / "changed" / "seedbed"
    shutil.copytree(LIBRARY, changed, ignore=shutil.ignore_patterns("__pycache__"))
    text = (changed / "refine/background.py").read_text()
    code = "_join(free**alpha, cams)"
    assert text.count(code) == 1
    (changed / "refine/background.py").write_text(text.replace(code, "_join(free ** (alpha + 1), cams)"))
    before, after = artifacts(LIBRARY, tmp_path / "a"), artifacts(changed, tmp_path / "b")
    assert {name for name in before if before[name] != after[name]} == {"crf", "segmenter", "predicted"}
