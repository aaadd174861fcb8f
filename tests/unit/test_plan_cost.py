"""The cost sheet, by hand."""

from pathlib import Path

import pytest

from seedbed.data.raw.sources import load_sources
from seedbed.params import read_params, resolve
from seedbed.plan.cost import MAP_BYTES, DiskForecast, cost_lines
from seedbed.plan.jobs import PlannedJob

REPOSITORY = Path(__file__).parents[2]
SOURCES = load_sources()
CHAIN = {"model": "exvit", "explainer": "attribute_guided_map", "split": "trainaug", "scatteritem": "3-of-16"}


def planned(*jobs, preset="paper", **overrides):
    """Jobs of a rule and its wildcards, with what they add on disk."""
    read = {**read_params(REPOSITORY / "params.yaml"), "preset": preset, **overrides}
    disk = DiskForecast(resolve(read), SOURCES)
    return [
        PlannedJob(
            number, rule, rule, True, None, (), 4, int(rule == "explain"), 90, "", names, tuple(disk.room(rule, names))
        )
        for number, (rule, names) in enumerate(jobs)
    ]


def room(jobs, dataset, kind):
    return sum(each.size for job in jobs for each in job.room if (each.dataset, each.kind) == (dataset, kind))


def test_hours_are_threads_and_gpus_times_minutes():
    voc = ("explain", {**CHAIN, "dataset": "voc12"})
    lines = cost_lines(planned(voc, voc, ("score", {})))
    rows = {line.split()[0]: line.split()[1:] for line in lines if len(line.split()) == 4}
    assert rows["explain"] == ["2", "12.0", "3.0"] and rows["score"] == ["1", "6.0", "0.0"]
    assert rows["all"] == ["3", "18.0", "3.0"]


@pytest.mark.parametrize(
    ("dataset", "pictures", "pixels", "classes", "stride"),
    [("voc12", 10582, 375 * 500, 1.5, 1), ("coco14", 82081, 480 * 640, 2.9, 4)],
)
def test_maps_take_room_by_pictures_pixels_and_classes(dataset, pictures, pixels, classes, stride):
    found = planned(("explain", {**CHAIN, "dataset": dataset}))
    assert room(found, dataset, "made") == pytest.approx(pictures / 16 * pixels * classes * MAP_BYTES / stride**2)


def test_files_are_fetched_and_unpacked():
    jobs = [
        ("fetch_source", {"source": "coco14_val"}),
        ("fetch_source", {"source": "imagenet_devkit"}),
        ("fetch_source", {"source": "resnet38_imagenet"}),
        ("unpack_source", {"source": "coco14_annotations", "dataset": "coco14"}),
    ]
    found = planned(*jobs)
    assert room(found, "coco14", "fetched") == SOURCES["coco14_val"].bytes
    assert room(found, "coco14", "unpacked") == SOURCES["coco14_annotations"].unpacked
    text = "\n".join(cost_lines(found))
    assert "6.6 GB" in text and text.count("1 file of unpublished size") == 2


def test_what_lies_on_disk_is_linked():
    job = ("unpack_source", {"source": "coco14_val", "dataset": "coco14"})
    assert room(planned(job), "coco14", "unpacked") > 6e9
    assert room(planned(job, coco14="/data/coco"), "coco14", "unpacked") == 0


def test_labels_and_masks_of_the_demo():
    names = {"dataset": "shapes", "model": "vit_hybrid", "explainer": "vit_affinity_cues", "scatteritem": "1-of-2"}
    found = planned(("label_affinities", {**names, "network": "affinitynet_hybrid"}), preset="demo")
    assert room(found, "shapes", "made") == pytest.approx(600 / 2 * 96**2 * 2.5 * 2 * 0.8)


def test_own_images_are_not_guessed(tmp_path):
    names = {"dataset": f"own_{tmp_path.name}", "split": "train", "refiner": "argmax", "scatteritem": "1-of-2"}
    found = planned(("refine_masks", names), preset="demo", dataset=str(tmp_path))
    assert len(found) == 1 and not found[0].room


def test_nothing_planned_says_nothing():
    assert cost_lines([]) == []
