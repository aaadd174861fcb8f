"""Every array recorded from the published code has a verdict: an input, compared by a named test, or why it is not.

The recordings themselves stand beside the project, where it has them; without them the table alone is checked.
"""

import ast
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

HERE = Path(__file__).parent
RECORDINGS = HERE.parents[2] / "shared" / "golden" / "wsss"
VERDICTS = yaml.safe_load((HERE / "verdicts.yaml").read_text())
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside the project")


def patterns(verdict):
    """(kind, pattern) of one file's verdict; the kind of a comparison is its test."""
    yield from (("inputs", pattern) for pattern in verdict.get("inputs", ()))
    yield from (("not_compared", pattern) for pattern in verdict.get("not_compared", ()))
    for test, names in verdict["compared"].items():
        yield from ((test, pattern) for pattern in names)


def kinds_of(name, verdict):
    return [kind for kind, pattern in patterns(verdict) if fnmatchcase(name, pattern)]


def arrays_of(recording):
    with np.load(RECORDINGS / f"{recording}.npz") as arrays:
        return dict(arrays)


def digest(array):
    """Equal arrays have equal ones, in whichever precision they are stored."""
    exact = array if array.dtype.kind in "US" else array.astype(np.float64)
    return array.shape, exact.tobytes() if exact.dtype.kind == "f" else tuple(exact.tolist())


@cache
def copies():
    found = set()
    for path in (HERE / "data").glob("*.npz"):
        with np.load(path) as arrays:
            found |= {digest(arrays[name]) for name in arrays.files}
    return found


def test_every_test_of_the_table_exists():
    named = {test for verdict in VERDICTS.values() for test in verdict["compared"]}
    for test in named:
        file, function = test.split("::")
        tree = ast.parse((HERE / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_what_is_not_compared_says_why():
    reasons = [reason for verdict in VERDICTS.values() for reason in verdict.get("not_compared", {}).values()]
    assert len(reasons) <= 2 and all(len(reason) > 20 for reason in reasons)


@needs_recordings
def test_every_recording_is_in_the_table():
    assert {path.stem for path in RECORDINGS.glob("*.npz")} == set(VERDICTS)


@needs_recordings
@pytest.mark.parametrize("recording", VERDICTS)
def test_every_array_has_one_verdict(recording):
    verdict, names = VERDICTS[recording], list(arrays_of(recording))
    found = {name: kinds_of(name, verdict) for name in names}
    assert {name: kinds for name, kinds in found.items() if len(kinds) != 1} == {}
    assert [p for _, p in patterns(verdict) if not any(fnmatchcase(name, p) for name in names)] == []


@needs_recordings
@pytest.mark.parametrize("recording", VERDICTS)
def test_compared_arrays_are_the_recorded_ones(recording):
    """Bit for bit in ``data``, so that what the tests compare with is what was recorded."""
    verdict = VERDICTS[recording]
    given = [
        name
        for name, array in arrays_of(recording).items()
        if "::" in kinds_of(name, verdict)[0] and digest(array) not in copies()
    ]
    assert given == []
