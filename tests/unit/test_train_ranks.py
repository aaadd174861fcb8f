"""Training on several devices: two CPU processes end with the weights of one, whatever the loss and the layers."""

import contextlib
import io
import json
import signal
import sys
from pathlib import Path

import pytest
import ranks_program
import torch
import torch.nn.functional as F
import training_toys as toys
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import DropPath
from torch import nn

from seedbed.data.datasets import MaskedPictures, ResumableBatches, share
from seedbed.devices.launch import launch
from seedbed.errors import ParameterError
from seedbed.train.ranks import Divided, Ranks
from seedbed.train.state import save_state

PROGRAM = Path(ranks_program.__file__)


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Folder of what two processes made of every case."""
    folder = tmp_path_factory.mktemp("divided")
    assert launch([sys.executable, str(PROGRAM), str(folder), *ranks_program.CASES], 2) == 0
    return folder


@pytest.mark.parametrize("case", ranks_program.CASES)
def test_two_processes_end_with_the_weights_of_one(divided, case, tmp_path):
    model, history = ranks_program.train(case, tmp_path)
    found = torch.load(divided / f"{case}.pt", weights_only=True)
    close(found["model"], model.state_dict())
    assert [row.keys() for row in found["history"]] == [row.keys() for row in history.rows]
    for row, expected in zip(found["history"], history.rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-6)
    moved = [row["loss"] for row in history.rows]
    assert len(set(moved)) == len(moved) >= 2  # something was learnt


@pytest.mark.parametrize("case", ["points", "exvit"])
def test_the_resume_state_is_that_of_one_process(divided, case, tmp_path):
    """So a training that four GPUs began can go on with one."""
    ranks_program.train(case, tmp_path)
    found, expected = (state_in(folder / f"{case}.state") for folder in (divided, tmp_path))
    assert found.keys() == expected.keys()
    assert (found["fingerprint"], found["step"]) == (expected["fingerprint"], expected["step"])
    for part in ("model", "objective", "ema"):
        close(found[part], expected[part])


@pytest.mark.parametrize("begun_by", [pytest.param("this run", marks=pytest.mark.slow), "another run"])
def test_several_processes_agree_on_the_state_to_go_on_from(tmp_path, begun_by, capfd):
    """What the first sets aside, none goes on from; what it takes up, all do."""

    def kill(_, step):
        if step == 3:
            raise toys.Killed

    with pytest.raises(toys.Killed):
        ranks_program.train("points", tmp_path, kill)
    state = tmp_path / "points.state"
    if begun_by == "another run":
        save_state(state, {"lr": 0.5}, load_state_of(state))
    assert launch([sys.executable, str(PROGRAM), str(tmp_path), "points"], 2) == 0
    model, _ = ranks_program.train("points", tmp_path / "alone")
    close(torch.load(tmp_path / "points.pt", weights_only=True)["model"], model.state_dict())
    assert len(list(tmp_path.glob("points.state.set-aside-*"))) == (begun_by == "another run")
    assert capfd.readouterr().err.count("It is kept as") == (begun_by == "another run")


def load_state_of(path):
    return {key: value for key, value in state_in(path).items() if key != "fingerprint"}


def state_in(path):
    return torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)  # behind its checksum


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


@given(st.integers(1, 40), st.integers(1, 8))
def test_shares_are_contiguous_and_even(count, size):
    shares = [share(count, rank, size) for rank in range(size)]
    assert [row for own in shares for row in range(count)[own]] == list(range(count))
    lengths = [own.stop - own.start for own in shares]
    assert max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout(0.4), (5, 7)),
        (nn.Dropout(0.4, inplace=True), (5, 3, 4)),
        (nn.Dropout2d(0.5), (5, 6, 2, 2)),
        (DropPath(0.5), (5, 3, 4)),
    ],
)
def test_each_rank_draws_its_rows_of_what_one_process_draws(layer, shape, size):
    x = torch.rand(shape) + 1
    turned = x.transpose(1, -1).contiguous().transpose(1, -1)  # lies otherwise in memory
    for pictures in (x, turned):
        torch.manual_seed(3)
        whole = layer(pictures.clone(memory_format=torch.preserve_format))
        after = torch.rand(())
        parts = []
        for rank in range(size):
            torch.manual_seed(3)
            ranks = Ranks(rank, size)
            with Divided(len(x), ranks):
                parts.append(layer(pictures[ranks.share(len(x))].clone(memory_format=torch.preserve_format)))
            assert torch.equal(torch.rand(()), after)  # what is drawn later is the same on all ranks
        assert torch.equal(torch.cat(parts), whole)


def test_rows_that_belong_to_a_picture_stay_with_it():
    """Windows of an image, flattened into the first dimension."""
    torch.manual_seed(3)
    whole = F.dropout(torch.ones(3 * 4, 5))
    parts = []
    for rank in range(2):
        torch.manual_seed(3)
        ranks = Ranks(rank, 2)
        with Divided(3, ranks):
            parts.append(F.dropout(torch.ones((2, 1)[rank] * 4, 5)))
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (lambda x: x + torch.randn_like(x), "randn_like"),
        (lambda x: x + torch.rand(len(x), 1), "rand"),
        (lambda x: nn.AlphaDropout()(x), "alpha_dropout"),
        (lambda x: x.clone().uniform_(), "uniform_"),
        (lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1), "scaled_dot_product_attention"),
        (lambda x: F.dropout(x[:, 0].sum()), r"shape \(\)"),
    ],
)
def test_other_random_numbers_are_refused(draw, named):
    with pytest.raises(ParameterError, match=named), Divided(4, Ranks(0, 2)):
        draw(torch.ones(2, 3, 4))


def test_attention_without_dropout_is_left_alone():
    x = torch.rand(2, 3, 4)
    with Divided(4, Ranks(0, 2)):
        assert torch.equal(F.scaled_dot_product_attention(x, x, x), F.scaled_dot_product_attention(x, x, x, None, 0.0))


def test_a_choice_for_the_whole_batch_is_the_same_on_all_ranks():
    """MCTformer's segmentation network scales all images of a batch alike."""

    class Step:
        def __init__(self):
            self.transforms = []

    seeds = []

    class Noted(MaskedPictures):
        def __init__(self):
            self.transform = Step()

        def _sample(self, position, seed):
            return position

    for rank in range(3):
        batches = ResumableBatches(10, 7, 2, seed=5, rank=rank, world_size=3)
        seeds.append([keys.batch_seed for keys in batches])
        assert Noted().__getitems__(next(iter(batches)))
    whole = [keys[0][1] for keys in ResumableBatches(10, 7, 2, seed=5)]
    assert seeds == [whole] * 3


def test_a_failing_process_ends_the_others(tmp_path):
    program = tmp_path / "fail.py"
    program.write_text("import os, time\nif os.environ['RANK'] == '1': raise SystemExit(7)\ntime.sleep(60)\n")
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert launch([sys.executable, str(program)], 2) == 7
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


@pytest.mark.skipif(not ranks_program.SOCKETS.exists(), reason="needs Linux")
def test_nothing_listens_beyond_this_machine(divided):
    for rank in range(2):
        assert set(json.loads((divided / f"listening{rank}.json").read_text())) == {"0100007F"}  # 127.0.0.1


def test_a_batch_smaller_than_the_number_of_devices_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(ranks_program.CASES, "small", (ranks_program.points, {"batch_size": 2}))
    monkeypatch.setattr("seedbed.train.loop.joined", lambda device: alone_of(3))
    with pytest.raises(ParameterError, match="A batch of 2 cannot be shared by 3 GPUs"):
        ranks_program.train("small", tmp_path)


@contextlib.contextmanager
def alone_of(size):
    yield Ranks(0, size)
