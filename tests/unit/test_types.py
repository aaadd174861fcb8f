"""The library's types: a type checker agrees with them, and its users' checkers are told so."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_library_says_that_it_is_typed():
    assert files("seedbed").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_mypy_finds_nothing(tmp_path):
    call = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    run = subprocess.run(call, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_mypy_finds_what_is_wrong(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from seedbed.papers import Layout\n\n\ndef path() -> int:\n    return Layout('demo').root\n")
    call = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "--config-file", "pyproject.toml"]
    env = {**os.environ, "NO_COLOR": "1", "MYPYPATH": "src"}
    run = subprocess.run([*call, str(wrong)], cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 1
    assert 'expected "int"' in run.stdout
