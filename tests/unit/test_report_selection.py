"""Worst and best images, images as layers, and intervals that stand beside the right number."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError
from seedbed.evaluate.confusion import ConfusionMatrix
from seedbed.evaluate.intervals import bootstrap_miou
from seedbed.evaluate.scoring import ScoringSettings, score_heatmaps, score_masks
from seedbed.io.heatmaps import HeatMaps, HeatMapStore, write_heatmaps
from seedbed.io.masks import MaskStore, encode_mask, write_masks
from seedbed.papers.plan import Cell, MaskMeasurement
from seedbed.papers.tables import Table
from seedbed.report.gallery import Heat, Masks, Original, Row, Section, Truth
from seedbed.report.layers import LARGEST, open_images
from seedbed.report.selection import cell_intervals, measured_backgrounds, pick, score_panels, shown_scores

SIZE, COUNT = (4, 6), 8
SCORING = ScoringSettings()


@pytest.fixture
def split(tmp_path):
    """Eight images of one animal each; the prediction of image k misses k of its eight pixels."""
    records, predicted, heat = [], [], []
    for k in range(COUNT):
        truth = np.zeros(SIZE, np.uint8)
        truth[1:3, 1:5] = k % 2 + 1
        mask = truth.copy()
        mask[tuple(np.argwhere(truth)[:k].T)] = 0
        (tmp_path / f"{k}.png").write_bytes(encode_mask(truth))
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(tmp_path / f"{k}.jpg")
        records.append(Record(f"i{k}", ("val",), (("cat", "dog")[k % 2],), f"{k}.jpg", f"{k}.png", SIZE))
        predicted.append((f"i{k}", mask))
        heat.append(
            (f"i{k}", HeatMaps(np.array([k % 2]), np.where(mask > 0, 0.75, 0.25)[None].astype(np.float32), SIZE))
        )
    write_masks(tmp_path / "masks.zip", predicted, {})
    write_heatmaps(tmp_path / "maps.h5", heat, {})
    return DataIndex(tmp_path, ("cat", "dog"), tuple(records))


def panels(index):
    return [
        {"label": "image", "shows": "image"},
        {"label": "maps", "shows": "stored", "shards": [str(index.root / "maps.h5")]},
        {"label": "masks", "shows": "mask", "shards": [str(index.root / "masks.zip")]},
    ]


def test_images_are_scored_as_their_split_is(split):
    maps, masks = score_panels(panels(split), split, split.records, {"maps": 0.5})
    assert (maps.label, masks.label) == ("maps", "masks")
    whole = score_masks(split, split.records, MaskStore([split.root / "masks.zip"]), SCORING)
    assert masks.total("all_classes") == pytest.approx(whole["miou"], abs=1e-12)
    heat = HeatMapStore([split.root / "maps.h5"])
    seeds = score_heatmaps(split, split.records, heat, SCORING, background=0.5, sweep=False)
    assert maps.total("all_classes") == pytest.approx(seeds["miou"], abs=1e-12)
    # Image 2: 6 of 8 pixels found, none wrong; of the background's 16 pixels and 2 missed ones 16 are right.
    assert masks.miou("i2") == pytest.approx((6 / 8 + 16 / 18) / 2)


def test_what_has_no_background_or_no_truth_is_not_scored(split):
    assert [one.label for one in score_panels(panels(split), split, split.records, {})] == ["masks"]
    blind = [Record(r.image, r.splits, r.labels, r.path, None, r.size) for r in split.records]
    assert score_panels(panels(split), split, blind, {"maps": 0.5}) == []
    (partly,) = score_panels(panels(split)[2:], split, [*split.records[:4], *blind[4:]], {})
    assert not partly.whole
    assert partly.interval("all_classes") is None


def test_the_worst_come_first_and_no_image_is_both(split):
    scores = score_panels(panels(split)[2:], split, split.records, {})[0]
    assert pick(scores, 2) == {"i7": "worst", "i6": "worst", "i0": "best", "i1": "best"}
    assert len(pick(scores, 100)) == COUNT
    assert pick(None) == {}
    assert shown_scores([scores], ["i0", "absent"]) == {"masks": {"i0": 1.0}}


def cell(row, metric="miou", path="m.json"):
    measurement = MaskMeasurement("masks", "d", "val", "vit", metric, "cam", "crf")
    return Cell(row, "miou", "measured", None, measurement, (path,))


def test_an_interval_belongs_to_the_number_that_the_same_images_give(split):
    rows = [{"id": name, "label": name, "status": "reproduced", "reported": {}} for name in ("masks", "other")]
    columns = [{"id": "miou", "title": "mIoU", "unit": "%", "better": "higher"}]
    table = Table.model_validate(
        {"id": "t", "title": "t", "caption": "c", "question": "q", "columns": columns, "rows": rows}
    )
    scores = score_panels(panels(split), split, split.records, {"maps": 0.5})
    recorded = {"provenance": {"parameters": {"scoring": {"miou": "all_classes"}}}}
    metrics = {"m.json": {**recorded, "miou": scores[1].total("all_classes"), "background": 0.4}}
    found = cell_intervals(table, [cell("masks"), cell("other")], scores, metrics.__getitem__)
    assert list(found) == [("masks", "miou")]
    low, high = found["masks", "miou"]
    assert low < metrics["m.json"]["miou"] < high
    assert measured_backgrounds(table, [cell("masks")], metrics.__getitem__) == {"masks": 0.4}
    metrics["m.json"] |= {"miou_in_truth": scores[1].total("in_truth"), "miou_best": 0.5, "background_best": 0.3}
    assert cell_intervals(table, [cell("masks", "miou_in_truth")], scores, metrics.__getitem__)
    assert measured_backgrounds(table, [cell("masks", "miou_in_truth")], metrics.__getitem__) == {"masks": 0.4}
    assert measured_backgrounds(table, [cell("masks", "miou_best")], metrics.__getitem__) == {"masks": 0.3}
    metrics["m.json"]["miou"] += 0.01
    assert cell_intervals(table, [cell("masks")], scores, metrics.__getitem__) == {}
    assert cell_intervals(table, [cell("masks", "fp")], scores, metrics.__getitem__) == {}


def matrix(counts):
    return ConfusionMatrix.from_counts(np.array(counts))


def test_a_bootstrap_of_equal_images_has_no_width_and_of_others_lies_between_them():
    same = [matrix([[8, 2], [0, 10]])] * 5
    assert bootstrap_miou(same, "all_classes") == pytest.approx([same[0].miou()] * 2)
    low, high = bootstrap_miou([matrix([[10, 0], [0, 10]]), matrix([[5, 5], [5, 5]])], "all_classes")
    assert low == pytest.approx(1 / 3)  # the second image twice
    assert high == pytest.approx(1.0)  # the first one twice
    with pytest.raises(DataError, match="needs images"):
        bootstrap_miou([], "all_classes")


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_layers_keep_colours_and_are_clear_where_there_is_background(split):
    rows = [Row(split, record, None) for record in split.records[:2]]
    columns = [
        Original(),
        Truth(),
        Heat("maps", HeatMapStore([split.root / "maps.h5"])),
        Masks("masks", MaskStore([split.root / "masks.zip"])),
    ]
    scores = {"masks": {"i0": 1.0, "i1": float("nan")}}
    found = open_images([Section("", rows, columns)], chosen={"i1": "best"}, scores=scores, chosen_by="masks")
    assert [(case.name, case.chosen, case.classes) for case in found.cases] == [
        ("i1", "best", ("dog",)),
        ("i0", "sample", ("cat",)),
    ]
    assert found.titles == ("ground truth", "maps", "masks")
    assert found.colours == {"cat": "rgb(128, 0, 0)", "dog": "rgb(0, 128, 0)"}
    truth, maps, masks = found.cases[1].layers
    assert [layer.kind for layer in found.cases[1].layers] == ["mask", "heat", "mask"]
    assert [layer.score for layer in found.cases[1].layers] == [None, None, 1.0]
    assert found.cases[0].layers[2].score is None
    painted = np.asarray(decoded(truth.uri).convert("RGBA"))
    assert painted[0, 0, 3] == 0
    assert painted[1, 1].tolist() == [128, 0, 0, 255]
    assert np.asarray(decoded(masks.uri).convert("RGBA"))[1, 1].tolist() == [128, 0, 0, 255]
    heat = np.asarray(decoded(maps.uri).convert("RGB")).astype(int)
    assert heat[1, 1].sum() > heat[0, 0].sum()  # brighter where the map is larger
    assert decoded(found.cases[0].uri).size == (6, 4)


def test_an_undefined_map_is_grey_and_a_large_image_is_made_smaller(tmp_path):
    Image.fromarray(np.full((500, 1000, 3), 90, np.uint8)).save(tmp_path / "a.jpg")
    record = Record("a", ("val",), ("cat",), "a.jpg", None, (500, 1000))
    index = DataIndex(tmp_path, ("cat",), (record,))
    maps = {"a": HeatMaps(np.array([0]), np.full((1, 5, 10), np.nan, np.float32), (500, 1000))}
    mask = np.zeros((500, 1000), np.uint8)
    mask[:, 500:] = 1
    section = Section("", [Row(index, record, None)], [Heat("maps", maps), Masks("masks", {"a": mask}), Truth()])
    (case,) = open_images([section]).cases
    assert decoded(case.uri).size == (LARGEST, LARGEST // 2)
    assert set(np.unique(np.asarray(decoded(case.layers[0].uri).convert("RGB")))) == {128}
    painted = np.asarray(decoded(case.layers[1].uri).convert("RGBA"))
    assert painted[..., 3].min() == 0
    assert painted[0, -1].tolist() == [128, 0, 0, 255]
    assert case.layers[2].kind == "drawing"  # boxes, where there is no mask
