"""Unfinished shards: a killed job's finished items are taken over, the shard is the same, byte for byte."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import UserError
from seedbed.io.heatmaps import HeatMaps, UnfinishedHeatMaps, write_heatmaps
from seedbed.io.masks import UnfinishedMasks, write_masks
from seedbed.io.provenance import provenance

WORKS = list(range(10))


class Stopped(BaseException):
    """Nothing that a program would catch."""


def mask(number):
    return np.random.default_rng(number).choice(np.array([0, 1, 20, 255], np.uint8), (6, 7))


def heat(number):
    """Maps that are not exact in float16, of none to three classes, one with a NaN."""
    rng = np.random.default_rng(number)
    maps = rng.random((number % 4, 70, 80), np.float32)
    if number == 3:
        maps[0, 0, 0] = np.nan
    return HeatMaps(np.arange(number % 4), maps, (140, 160))


ITEMS = {
    "masks": (UnfinishedMasks, write_masks, lambda number: (f"image{number}", mask(number))),
    "maps": (UnfinishedHeatMaps, write_heatmaps, lambda number: (f"image{number}", heat(number))),
}


def write(target, name="masks", block=1, stop_at=None, fingerprint="f", circumstances=None, computed=None):
    """Write a shard of ten items; ``stop_at`` ends the job when that one is asked for. Notes what was computed."""
    kind, writer, make = ITEMS[name]

    def compute(rest):
        for work in rest:
            if work == stop_at:
                raise Stopped
            if computed is not None:
                computed.append(work)
            yield make(work)

    with kind(target, {"of": fingerprint}, circumstances or {"device": "cpu"}) as kept:
        writer(target, kept.resume(WORKS, compute, block), kept.record({"made": "here"}))


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("block", [1, 4])
@given(stops=st.lists(st.integers(0, 9), max_size=3))
@settings(max_examples=12)
def test_a_stopped_shard_goes_on_and_ends_in_the_same_bytes(tmp_path_factory, name, block, stops):
    folder = tmp_path_factory.mktemp("shard")
    ITEMS[name][1](folder / "plain", map(ITEMS[name][2], WORKS), {"made": "here"})
    done = 0
    for stop in [*sorted(stops), None]:
        computed = []
        if stop is None:
            write(folder / "a", name, block, computed=computed)
        else:
            with pytest.raises(Stopped):
                write(folder / "a", name, block, stop_at=stop, computed=computed)
        assert computed == list(range(done, 10 if stop is None else stop))
        done = max(done, (stop or 0) // block * block)  # whole blocks are kept
    assert (folder / "a").read_bytes() == (folder / "plain").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["a", "plain"]


def test_two_stacks_of_maps_are_kept_together():
    item = ("a", heat(2), heat(3))
    image, low, high = UnfinishedHeatMaps.unpack(UnfinishedHeatMaps.pack(item))
    assert image == "a"
    for found, expected in ((low, heat(2)), (high, heat(3))):
        np.testing.assert_array_equal(found.maps, expected.maps.astype(np.float16))
        np.testing.assert_array_equal(found.classes, expected.classes)
        assert (found.maps.dtype, found.size) == (np.float32, (140, 160))


@given(st.data())
@settings(max_examples=60)
def test_whatever_is_left_of_the_file_the_shard_is_right(tmp_path_factory, data):
    """Cut anywhere, a byte flipped anywhere, garbage behind it."""
    folder = tmp_path_factory.mktemp("shard")
    with pytest.raises(Stopped):
        write(folder / "a", stop_at=7)
    (path,) = folder.glob(".a.unfinished-*")
    content = bytearray(path.read_bytes())
    damage = data.draw(st.sampled_from(["cut", "flip", "garbage"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if damage == "cut":
        content = content[:place]
    elif damage == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        content += data.draw(st.binary(max_size=40))
    path.write_bytes(content)
    computed = []
    with pytest.raises(Stopped):
        write(folder / "a", stop_at=9, computed=computed)  # the next one appends behind what was whole
    write(folder / "a", computed=computed)
    assert computed == list(range(computed[0], 10))
    assert computed[0] == 7 or damage != "garbage"
    write_masks(folder / "plain", map(ITEMS["masks"][2], WORKS), {"made": "here"})
    assert (folder / "a").read_bytes() == (folder / "plain").read_bytes()


def test_other_work_starts_anew_and_leaves_the_first_one_s_items(tmp_path, caplog):
    with pytest.raises(Stopped):
        write(tmp_path / "a", stop_at=4)
    computed = []
    with pytest.raises(Stopped):
        write(tmp_path / "a", stop_at=6, fingerprint="g", computed=computed)
    assert computed == [0, 1, 2, 3, 4, 5]
    (told,) = [record.message for record in caplog.records if record.name == "seedbed.terminal"]
    assert 'of other parameters, inputs or code (of: "f" before, "g" now)' in told
    write(tmp_path / "a", computed=computed)  # the first again
    assert computed[6:] == list(range(4, 10))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_record_names_all_circumstances(tmp_path, caplog):
    with pytest.raises(Stopped):
        write(tmp_path / "a", stop_at=4)
    target, seen = tmp_path / "a", []
    with UnfinishedMasks(target, {"of": "f"}, {"device": "A100"}) as kept:
        assert len(list(kept.resume(WORKS, lambda rest: map(ITEMS["masks"][2], rest)))) == 10
        seen = kept.record({})
    assert seen == {"computed_on": [{"from": 0, "device": "cpu"}, {"from": 4, "device": "A100"}]}
    assert 'going on after 4 images under other circumstances (device: "cpu" before, "A100" now)' in caplog.text


def test_a_failed_shard_keeps_its_items(tmp_path):
    def compute(rest):
        yield from map(ITEMS["masks"][2], rest[:3])
        raise UserError("the fourth cannot be read")

    kept = UnfinishedMasks(tmp_path / "a", {}, {})
    with pytest.raises(UserError), kept:
        write_masks(tmp_path / "a", kept.resume(WORKS, compute), {})
    assert not (tmp_path / "a").exists()
    rest = []
    with UnfinishedMasks(tmp_path / "a", {}, {}) as again:
        list(again.resume(WORKS, lambda works: rest.extend(works) or []))
    assert rest == WORKS[3:]


def test_targets_do_not_touch_each_other_s_files(tmp_path):
    for name in ("a.h5", "b.a.h5"):
        with pytest.raises(Stopped):
            write(tmp_path / name, stop_at=2)
    write(tmp_path / "a.h5")
    assert [path.name.partition(".unfinished")[0] for path in tmp_path.glob(".*")] == [".b.a.h5"]


def test_what_decides_a_shard(tmp_path):
    """Contents of inputs count, not where they lie; code and parameters count, device and versions do not."""

    def path_of(images="ab", name="1", content=b"x", **record):
        (tmp_path / name).write_bytes(content)
        made = provenance({"crf": 10}, data="d", device=record.pop("device", "cpu"))
        records = [SimpleNamespace(image=image) for image in images]
        found = UnfinishedMasks.of_job(tmp_path / "t", records, {**made, **record}, heatmaps=tmp_path / name)
        return found.path

    assert path_of() == path_of(name="moved") == path_of(device="A100") == path_of(libraries={"torch": "9"})
    others = {path_of(images="ac"), path_of(content=b"y"), path_of(seed=1), path_of(parameters={"crf": 5})}
    assert len(others | {path_of(), path_of(code={"sha256": "c"})}) == 6


def test_what_cannot_be_kept_is_an_error(tmp_path):
    kept = UnfinishedMasks(tmp_path / "a", {}, {})
    with pytest.raises(TypeError, match="Path cannot be kept"), kept:
        list(kept.resume(WORKS, lambda rest: [(Path(), 1)]))


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import test_io_partial as tests

make = tests.ITEMS["maps"][2]

def slow(number):
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    return make(number)

tests.ITEMS["maps"] = (*tests.ITEMS["maps"][:2], slow)
tests.write(tests.Path(sys.argv[2]), "maps")
"""


def test_a_job_killed_by_the_system_goes_on_inside_the_shard(tmp_path):
    target = tmp_path / "a.h5"
    for stop in (3, 8):
        command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(target), str(stop)]
        done = subprocess.run(command, check=False, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        assert not target.exists()
    computed = []
    write(target, "maps", computed=computed)
    assert computed == [8, 9]
    write_heatmaps(tmp_path / "plain.h5", map(ITEMS["maps"][2], WORKS), {"made": "here"})
    assert target.read_bytes() == (tmp_path / "plain.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "plain.h5"]


FULL = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import test_io_partial as tests
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    tests.write(tests.Path(sys.argv[2]), "maps")
except tests.UserError as error:
    print(error)
"""


def test_a_full_disk_is_named_and_what_fitted_is_kept(tmp_path):
    command = [sys.executable, "-c", FULL, str(Path(__file__).parent), str(tmp_path / "a.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout
    computed = []
    write(tmp_path / "a.h5", "maps", computed=computed)
    assert 0 < computed[0] < 9
