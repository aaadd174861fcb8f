"""What data, weights and labels may not do: run code, put markup into a page, or make us listen on the network."""

import ast
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from seedbed.errors import UserError
from seedbed.models.weights.reading import read_weights

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = [
    path for folder in ("src", "plugins", "workflow_scripts") for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
RUN_CODE = {
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
    "dill.load",
    "joblib.load",
    "eval",
    "exec",
}
RUN_CODE |= {"pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen", "torch.hub.load"}
OF_OUR_OWN_PLAN = "workflow_scripts/alone.py:"
"""What this script reads, the plan that it has just started has written into a temporary folder."""
LISTEN = {"listen", "serve_forever", "create_server", "start_server", "runserver"}


def calls():
    """Every call of the library and of the workflow's scripts: its place, its dotted name, and its node."""
    for path in PROGRAM:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", ast.unparse(node.func), node


def keyword(call: ast.Call, name: str):
    """Value of a keyword that is written out, or None."""
    return next(
        (word.value.value for word in call.keywords if word.arg == name and isinstance(word.value, ast.Constant)), None
    )


def test_there_is_a_program_to_look_at():
    assert len(PROGRAM) > 100 and sum(1 for _ in calls()) > 1000


def test_nothing_that_runs_code_is_called():
    found = [(place, name) for place, name, _ in calls() if name in RUN_CODE]
    assert [name for place, name in found if place.startswith(OF_OUR_OWN_PLAN)] == ["pickle.loads"]
    assert [place for place, _ in found if not place.startswith(OF_OUR_OWN_PLAN)] == []


def test_torch_loads_weights_alone():
    loads = [(place, call) for place, name, call in calls() if name == "torch.load"]
    assert loads and [place for place, call in loads if keyword(call, "weights_only") is not True] == []


def test_numpy_never_unpickles_and_no_shell_is_started():
    assert [place for place, _, call in calls() if keyword(call, "allow_pickle")] == []
    assert [place for place, _, call in calls() if keyword(call, "shell")] == []


def test_nothing_listens():
    assert [place for place, name, _ in calls() if name.rsplit(".", 1)[-1] in LISTEN] == []


def test_the_user_interface_listens_on_loopback_alone():
    rules = (REPOSITORY / "Makefile").read_text()
    started = re.findall(r"mlflow ui .*", rules)
    assert started and all("--host 127.0.0.1" in line for line in started)
    assert "0.0.0.0" not in rules


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def bomb(tmp_path):
    """Content that makes ``tmp_path/exploded`` when a careless reader opens it; it does what it says."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "proof")))
    assert (tmp_path / "proof").is_dir()
    return pickle.dumps(Bomb(tmp_path / "exploded"))


@pytest.mark.parametrize(
    "name", ["weights.pth", "weights.pt", "weights.bin", "weights.pkl", "weights.safetensors", "w.params"]
)
def test_weights_are_not_executed(tmp_path, bomb, name):
    (tmp_path / name).write_bytes(bomb)
    with pytest.raises(UserError, match=re.escape(name)):
        read_weights(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_numpy_refuses_by_itself(tmp_path):
    """We lean on numpy's default; should it ever change, this fails."""
    np.save(tmp_path / "a.npy", np.array([Bomb(tmp_path / "exploded")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        np.load(tmp_path / "a.npy")
    assert not (tmp_path / "exploded").exists()
