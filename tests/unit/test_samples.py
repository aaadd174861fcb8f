"""Real photographs, `samples=`: what they add to a preset, how they are indexed and what is planned of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples_layout import SAMPLES, sample_folders

from seedbed.data.imagenet_folder import imagenet_classes, read_imagenet_folder
from seedbed.data.raw.sources import load_sources
from seedbed.data.truth_folder import SPLIT, read_truth_folder
from seedbed.errors import DataError, ParameterError, UserError
from seedbed.evaluate.mask_files import score_mask_files
from seedbed.papers import Layout, read_papers
from seedbed.params import read_params, resolve
from seedbed.plan import Pipeline

ROOT = Path(__file__).parents[2]
PARAMS = read_params(ROOT / "params.yaml")
PAPERS = read_papers(ROOT / "papers")
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no samples lie beside the project")


def pipeline(preset="small", **given):
    config = {**PARAMS, "preset": preset, **given}
    return Pipeline(resolve(config), PAPERS, Layout(preset), load_sources(), config=config)


def test_every_table_is_built_on_samples_and_none_without(tmp_path):
    made = pipeline(samples=str(sample_folders(tmp_path / "samples")))
    made.check()
    names = {table.id for table in PAPERS["evidence"].tables}
    assert {table for paper, table in made.tables.built() if paper == "evidence"} == names
    files = made.evidence.files()
    assert {f"results/small/tables/evidence/{name}.csv" for name in names} <= set(files)
    assert "results/small/figures/evidence/figure_maps.html" in files and made.scored.folder in files
    for preset in ("demo", "small", "paper"):
        other = pipeline(preset)
        assert "evidence" not in {paper for paper, _ in (*other.tables.built(), *other.figures.built())}
    with pytest.raises(UserError, match="evidence needs real photographs"):
        pipeline().evidence.files()


def test_what_the_samples_lack_is_left_out_and_said(tmp_path, caplog):
    folder = sample_folders(tmp_path / "samples")
    for gone in ("imagenet-sample", "pseudo-masks-sample"):
        (folder / gone).rename(tmp_path / gone)
    made = pipeline(samples=str(folder))
    made.check()
    assert "holds no imagenet-sample and no pseudo-masks-sample; what needs it is left out" in caplog.text
    tables = {path.split("/")[4] for path in made.evidence.files() if path.endswith(".csv")}
    assert tables == {"explanations.csv", "masks.csv"}
    assert not any("scores" in path for path in made.evidence.files())


def test_samples_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for preset, folder, text in (
        ("small", tmp_path / "gone", "gone' is not a folder"),
        ("small", tmp_path / "empty", "holds none of voc-sample, imagenet-sample and pseudo-masks-sample"),
        ("demo", tmp_path / "empty", "preset 'demo' measures nothing on samples. Give --config preset=small"),
    ):
        with pytest.raises(ParameterError, match=text):
            resolve({**PARAMS, "preset": preset, "samples": str(folder)})


def test_seeds_and_shards_of_samples(tmp_path):
    made = pipeline(samples=str(sample_folders(tmp_path / "samples")))
    assert made.preset.shards == 1 and made.tables.seeds("evidence", "masks") == [0, 1, 2]
    assert pipeline().preset.shards == 4
    assert pipeline(samples=made.config["samples"], shards=2).preset.shards == 2


def test_trainings_of_few_photographs_take_one_thread():
    class Trained:
        model = "mctformerv2_few"

    assert pipeline().resources.threads("train_classifier")(Trained()) == 1
    Trained.model = "vit_own"
    assert pipeline().resources.threads("train_classifier")(Trained()) == 4


def test_an_imagenet_folder_is_indexed_by_the_classes_of_networks(tmp_path):
    folder = sample_folders(tmp_path / "samples") / "imagenet-sample"
    index = read_imagenet_folder(folder, tmp_path / "data")
    assert len(index.classes) == 1000 and index.classes[:2] == ("n01440764_tench", "n01443537_goldfish")
    assert index.splits() == {"val": 20, "tenth": 2, "fiftieth": 1}
    assert [index.class_indices(record) for record in index.records[:3]] == [(0,), (2,), (4,)]
    assert index.records[0].size == (64, 72)
    assert imagenet_classes() == index.classes


def test_all_mistakes_of_an_imagenet_folder_are_listed(tmp_path):
    folder = sample_folders(tmp_path / "samples") / "imagenet-sample"
    with (folder / "classes.csv").open("a") as table:
        table.write("gone,gone,3,x\nn001,n001,1000,x\n")
    with pytest.raises(DataError, match=r"(?s)line 22: 0 files .* named 'gone'.*line 23: index '1000' is no class"):
        read_imagenet_folder(folder, tmp_path / "data")
    (folder / "classes.csv").unlink()
    with pytest.raises(DataError, match=r"no such file\. It needs the columns image,index"):
        read_imagenet_folder(folder, tmp_path / "data")


@needs_samples
def test_the_samples_plan_whole():
    made = pipeline(samples=str(SAMPLES))
    made.check()
    assert len(made.evidence.files()) == 2 * len(PAPERS["evidence"].tables) + 2


@needs_samples
def test_published_pseudo_masks_score_as_an_independent_count_says():
    folder = SAMPLES / "pseudo-masks-sample"
    counts = np.zeros((21, 21), np.int64)
    for path in sorted((folder / "truth").glob("*.png")):
        truth, mask = (np.asarray(Image.open(each)) for each in (path, folder / "masks" / path.name))
        seen = truth != 255
        np.add.at(counts, (truth[seen], mask[seen]), 1)
    hits = counts.diagonal()
    independent = (hits / (counts.sum(0) + counts.sum(1) - hits)).mean()
    assert independent == pytest.approx(0.652294, abs=5e-7)
    index = read_truth_folder(folder / "truth")
    scored = score_mask_files(index, index.split(SPLIT), folder / "masks").metrics("all_classes")
    assert scored["miou"] == pytest.approx(independent, abs=1e-12) and scored["images"] == 200
