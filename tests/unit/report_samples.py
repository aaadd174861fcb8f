"""A small table with a cell of every status, and the numbers behind it."""

from seedbed.papers.plan import Cell, MapMeasurement
from seedbed.papers.tables import Table

EVIL = '<script>alert("x")</script> & | $a_b$'


def table(**changes):
    columns = [
        {"id": "miou", "title": "mIoU", "unit": "%", "better": "higher"},
        {"id": "fp", "title": "FP", "unit": "fraction", "better": "lower"},
    ]
    rows = [
        {"id": "theirs", "label": "Theirs", "status": "cited", "reported": {"miou": 61.7, "fp": None}},
        {"id": "ours", "label": "Ours", "status": "reproduced", "reported": {"miou": 66.25, "fp": 0.2}},
        {"id": "big", "label": "Big", "status": "reproduced", "reported": {"miou": 70}, "attributes": {"size": "L"}},
    ]
    base = {"id": "table1", "title": "Seeds", "caption": "Table 1.", "question": "Whose seeds are best?"}
    return Table.model_validate({**base, "columns": columns, "rows": rows, **changes})


def measurement(metric):
    return MapMeasurement("heatmaps", "shapes", "train", "vit", metric, "maps")


def cells():
    paths = ("seed0/heatmaps.json", "seed1/heatmaps.json")
    return [
        Cell("theirs", "miou", "cited", 61.7),
        Cell("theirs", "fp", "cited", None),
        Cell("ours", "miou", "measured", 66.25, measurement("miou"), paths),
        Cell("ours", "fp", "measured", 0.2, measurement("fp"), paths[:1]),
        Cell("big", "miou", "not run", 70, missing=("model big",)),
        Cell("big", "fp", "submit", None, measurement("submission")),
    ]


METRICS = {"seed0/heatmaps.json": {"miou": 0.64, "fp": 0.25}, "seed1/heatmaps.json": {"miou": 0.68, "fp": 0.5}}
