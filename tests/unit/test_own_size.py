"""How large your own images are, and what jobs on them declare."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_own_data import own_folder

from seedbed.data.own_size import largest_megapixels
from seedbed.papers import Layout
from seedbed.params import read_params, resolve
from seedbed.params.job_resources import Resources
from seedbed.plan.resources import RuleResources

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")
INDEX = "image,splits,labels,path,mask,height,width,boxes\na,train,cat,x.jpg,,1000,3000,\nb,train,cat,y.jpg,,10,10,\n"


def test_the_index_tells_and_before_there_is_one_the_files_do(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    Image.fromarray(np.zeros((1000, 2000, 3), np.uint8)).save(folder / "a.png")
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(folder / "b.png")
    (folder / "notes.txt").write_text("no image" * 10_000)
    index = tmp_path / "index.csv"
    assert largest_megapixels(index, folder) == 2.0
    assert largest_megapixels(index, folder, longest_side=1000) == 0.5
    assert largest_megapixels(index, folder, longest_side=5000) == 2.0
    index.write_text(INDEX)
    assert largest_megapixels(index, folder) == 3.0
    index.write_text(INDEX.splitlines()[0])
    assert largest_megapixels(index, folder) == 0.0


def test_resources_grow_beyond_the_first_megapixel():
    entry = Resources(mem_mb=1000, runtime=10, mem_mb_per_megapixel=700)
    assert entry.for_images(0) == entry.for_images(1) == entry
    large = entry.for_images(12)
    assert (large.mem_mb, large.runtime) == (1000 + 11 * 700, 120)
    assert Resources(mem_mb=1000).for_images(12) == Resources(mem_mb=1000)


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_jobs_on_your_own_large_images_declare_more(tmp_path, monkeypatch, preset):
    monkeypatch.chdir(tmp_path)
    config = {**PARAMS, "preset": preset, "dataset": str(own_folder(tmp_path / "mine"))}
    made, before = resolve(config), RuleResources(resolve({**PARAMS, "preset": preset}), Layout(preset))
    job, other = SimpleNamespace(dataset="own_mine"), SimpleNamespace(dataset="voc12")
    small = RuleResources(made, Layout(preset)).of("label_affinities")
    assert small["mem_mb"](job, 1) == before.of("label_affinities")["mem_mb"](other, 1)
    (tmp_path / "data/own_mine").mkdir(parents=True)
    (tmp_path / "data/own_mine/index.csv").write_text(INDEX)
    light = 800 if preset == "demo" else 100
    for rule, factor in (("label_affinities", 800), ("refine_masks", 800), ("export_split", light)):
        asked, usual = RuleResources(made, Layout(preset)).of(rule), before.of(rule)
        assert asked["mem_mb"](job, 1) == usual["mem_mb"](other, 1) + 2 * factor
        assert asked["mem_mb"](job, 2) == 2 * asked["mem_mb"](job, 1)
        assert asked["runtime"](job, 1) == 3 * usual["runtime"](other, 1)
