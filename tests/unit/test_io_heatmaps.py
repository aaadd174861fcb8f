"""The heat-map store: what goes in comes out, the same content gives the same bytes, damage is named."""

import hashlib
import multiprocessing
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps, HeatMapStore, write_heatmaps

IDS = ["2007_000032", "a/b/c", "100%", "50%2F2", "with space", "ünïcode", "n01440764/n01440764_18"]


def heat(seed=0, classes=(0, 4), shape=(3, 5), size=(48, 80)):
    rng = np.random.default_rng(seed)
    return HeatMaps(np.array(classes, int), rng.random((len(classes), *shape), np.float32), size)


def test_every_map_comes_back_by_its_image(tmp_path):
    items = {image: heat(seed) for seed, image in enumerate(IDS)}
    assert write_heatmaps(tmp_path / "a.h5", items.items(), {"seed": 3}) == 0
    store = HeatMapStore([tmp_path / "a.h5"])
    assert set(store) == set(IDS)
    assert len(store) == len(IDS)
    for image in reversed(IDS):
        found = store[image]
        np.testing.assert_array_equal(found.maps, items[image].maps.astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(found.classes, [0, 4])
        assert found.size == (48, 80)
        assert (found.maps.dtype, found.classes.dtype) == (np.float32, np.int64)
    assert store.provenance() == {"seed": 3}


@given(
    arrays.arrays(np.float16, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6)),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text != "."),
)
def test_round_trip_of_any_half_precision_map(tmp_path_factory, maps, image):
    path = tmp_path_factory.mktemp("store") / "a.h5"
    classes = np.arange(len(maps)) - 1  # -1 is the background of posteriors
    undefined = write_heatmaps(path, [(image, HeatMaps(classes, maps.astype(np.float32), (7, 9)))], {})
    found = HeatMapStore([path])[image]
    np.testing.assert_array_equal(found.maps, maps.astype(np.float32))
    np.testing.assert_array_equal(found.classes, classes)
    assert undefined == np.isnan(maps).any(axis=(1, 2)).sum()


def test_nan_is_kept_and_counted(tmp_path):
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0, 0, 0] = maps[2, 1, 1] = np.nan
    items = [("a", HeatMaps(np.arange(3), maps, (2, 2))), ("b", heat())]
    assert write_heatmaps(tmp_path / "1.h5", items, {}) == 2
    write_heatmaps(tmp_path / "2.h5", [("c", HeatMaps(np.array([1]), maps[:1], (2, 2)))], {})
    store = HeatMapStore([tmp_path / "1.h5", tmp_path / "2.h5"])
    assert store.undefined_maps == 3
    np.testing.assert_array_equal(store["a"].maps, maps)


def test_pictures_without_classes_and_empty_shards(tmp_path):
    write_heatmaps(tmp_path / "1.h5", [("a", HeatMaps(np.zeros(0, int), np.zeros((0, 4, 4), np.float32), (4, 4)))], {})
    write_heatmaps(tmp_path / "2.h5", [], {"seed": 0})
    store = HeatMapStore([tmp_path / "1.h5", tmp_path / "2.h5"])
    assert store["a"].maps.shape == (0, 4, 4)
    assert len(HeatMapStore([tmp_path / "2.h5"])) == 0
    assert HeatMapStore([tmp_path / "2.h5"]).provenance() == {"seed": 0}
    assert dict(HeatMapStore([])) == {}
    assert HeatMapStore([]).provenance() == {}


PROGRAM = """
import sys, numpy as np
from seedbed.io.heatmaps import HeatMaps, write_heatmaps
rng = np.random.default_rng(1)
items = [(f"{k}", HeatMaps(np.arange(2), rng.random((2, side, side), np.float32), (90, 90)))
         for k, side in enumerate((6, 80, 6))]
write_heatmaps(sys.argv[1], items, {"b": 1, "a": [2]})
"""


def test_the_same_content_gives_the_same_bytes_in_every_process(tmp_path):
    for number in ("1", "2"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / f"{number}.h5")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": number})
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}) == 1


def test_an_image_must_not_come_twice(tmp_path):
    with pytest.raises(DataError, match=r"1\.h5: image 'a/b' comes twice"):
        write_heatmaps(tmp_path / "1.h5", [("a/b", heat()), ("a/b", heat())], {})
    assert list(tmp_path.iterdir()) == []
    for name in ("1.h5", "2.h5"):
        write_heatmaps(tmp_path / name, [("a/b", heat())], {})
    with pytest.raises(DataError, match=r"2\.h5: image 'a/b' is also in .*1\.h5"):
        HeatMapStore([tmp_path / "1.h5", tmp_path / "2.h5"])


@pytest.mark.parametrize("maps", [np.zeros((3, 2, 2)), np.zeros((2, 2)), np.zeros((1, 2, 2, 2))])
def test_maps_must_fit_their_classes(tmp_path, maps):
    with pytest.raises(DataError, match=r"1\.h5: image 'a' has 2 classes but maps of shape"):
        write_heatmaps(tmp_path / "1.h5", [("a", HeatMaps(np.array([0, 1]), maps, (2, 2)))], {})
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_half_precision_are_refused(tmp_path):
    maps = np.array([[[1.0, -70_000.0], [np.inf, np.nan]]], np.float32)
    with pytest.raises(DataError, match=r"1\.h5: a map of image 'a' reaches 70000, beyond float16"):
        write_heatmaps(tmp_path / "1.h5", [("a", HeatMaps(np.array([0]), maps, (2, 2)))], {})
    maps[0, 0, 1] = 65_504
    write_heatmaps(tmp_path / "1.h5", [("a", HeatMaps(np.array([0]), maps, (2, 2)))], {})
    np.testing.assert_array_equal(HeatMapStore([tmp_path / "1.h5"])["a"].maps, maps)


def test_an_image_that_is_not_there(tmp_path):
    write_heatmaps(tmp_path / "1.h5", [("a", heat())], {})
    store = HeatMapStore([tmp_path / "1.h5"])
    assert "a" in store
    assert "b" not in store
    with pytest.raises(DataError, match=r"No heat maps for image 'b' in 1 shard"):
        store["b"]


def test_files_that_cannot_be_opened_are_named(tmp_path):
    write_heatmaps(tmp_path / "1.h5", [("a", heat())], {})
    content = (tmp_path / "1.h5").read_bytes()
    for name, damaged in {"cut.h5": content[: len(content) // 2], "empty.h5": b"", "text.h5": b"no HDF5"}.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{name}: not a readable heat-map file"):
            HeatMapStore([tmp_path / name])
    with pytest.raises(DataError, match=r"gone\.h5: not a readable heat-map file"):
        HeatMapStore([tmp_path / "gone.h5"])


def test_damage_inside_is_named_when_it_is_read(tmp_path):
    path = tmp_path / "1.h5"
    noise = np.random.default_rng(0).random((1, 100, 100)).astype(np.float32)
    write_heatmaps(path, [("a", HeatMaps(np.array([0]), noise, (100, 100)))], {})
    with h5py.File(path) as file:
        start = file["a"]["maps"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[start + 50 : start + 90] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1\.h5: not a readable heat-map file"):
        HeatMapStore([path])["a"]


def test_hdf5_of_other_software_is_named(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.zeros(3)
    store = HeatMapStore([tmp_path / "other.h5"])
    for read in (lambda: store["a"], store.provenance, lambda: store.undefined_maps):
        with pytest.raises(DataError, match=r"other\.h5: not a readable heat-map file"):
            read()


def _sums(store, images, results):
    results.put([float(store[image].maps.sum()) for image in images])


def test_loader_processes_read_at_the_same_time(tmp_path):
    images = [f"{k}" for k in range(40)]
    write_heatmaps(tmp_path / "1.h5", ((image, heat(k, shape=(40, 40))) for k, image in enumerate(images)), {})
    store = HeatMapStore([tmp_path / "1.h5"])
    expected = [float(store[image].maps.sum()) for image in images]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_sums, args=(store, images * 5, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=600) for _ in processes] == [expected * 5] * 3
    assert [float(pickle.loads(pickle.dumps(store))[image].maps.sum()) for image in images] == expected


def test_the_content_has_one_checksum_however_it_is_divided(tmp_path):
    """Small maps lie in the file as they are, large ones compressed."""
    items = [("a", heat(0)), ("b", heat(1, shape=(80, 90))), ("c/d", heat(2, classes=()))]
    write_heatmaps(tmp_path / "all.h5", items, {"device": "A100"})
    whole = HeatMapStore([tmp_path / "all.h5"]).content_sha256()
    (tmp_path / "moved").mkdir()
    shards = [tmp_path / "moved" / f"{number}.h5" for number in range(3)]
    for shard, item in zip(shards, items, strict=True):
        write_heatmaps(shard, [item], {"device": "H100"})
    assert HeatMapStore(shards[::-1]).content_sha256() == whole
    for change in (
        ("a", heat(3)),
        ("e", heat(0)),
        ("a", heat(0, classes=(0, 5))),
        ("a", heat(0, size=(48, 81))),
        ("a", heat(0, shape=(5, 3))),
    ):
        write_heatmaps(shards[0], [change], {})
        assert HeatMapStore(shards).content_sha256() != whole
