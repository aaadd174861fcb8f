"""The cost sheet, by hand."""

from pathlib import Path

import pytest

from seedbed.data.raw.sources import load_sources
from seedbed.params import read_params, resolve
from seedbed.plan.cost import Machine, cost_lines
from seedbed.plan.forecasts.disk import MAP_BYTES, DiskForecast
from seedbed.plan.jobs import PlannedJob

REPOSITORY = Path(__file__).parents[2]
SOURCES = load_sources()
MACHINE = Machine(8, 1, "At rates of a stone.")
CHAIN = {"model": "exvit", "explainer": "attribute_guided_map", "split": "trainaug", "scatteritem": "3-of-16"}


def planned(*jobs, preset="paper", seconds=None, **overrides):
    """Jobs of a rule and its wildcards, with what they add on disk."""
    read = {**read_params(REPOSITORY / "params.yaml"), "preset": preset, **overrides}
    disk = DiskForecast(resolve(read), SOURCES)
    return [
        PlannedJob(
            *(number, rule, rule, True, None, (), 4, int(rule == "explain"), 90, "none.tsv", names),
            *(tuple(disk.room(rule, names)), seconds),
        )
        for number, (rule, names) in enumerate(jobs)
    ]


def room(jobs, dataset, kind):
    return sum(each.size for job in jobs for each in job.room if (each.dataset, each.kind) == (dataset, kind))


def rows(lines):
    return {line.split()[0]: line.split()[1:] for line in lines if len(line.split()) == 5}


def test_hours_are_threads_and_gpus_times_the_forecast_beside_the_limit():
    voc = ("explain", {**CHAIN, "dataset": "voc12"})
    found = rows(cost_lines(planned(voc, voc, ("score", {}), seconds=1800.0), MACHINE))
    assert found["explain"] == ["2", "4.0", "1.0", "3.0"] and found["score"] == ["1", "2.0", "0.0", "0.0"]
    assert found["all"] == ["3", "6.0", "1.0", "3.0"]


def test_without_a_forecast_the_limit_counts_and_is_named():
    voc = ("explain", {**CHAIN, "dataset": "voc12"})
    lines = cost_lines(planned(voc), MACHINE)
    assert rows(lines)["explain"] == ["1", "6.0", "1.5", "1.5"]
    assert "No forecast, so the limit counts: explain." in lines


def test_the_wall_time_is_that_of_a_schedule_on_the_machine():
    voc = ("explain", {**CHAIN, "dataset": "voc12"})
    jobs = planned(voc, voc, voc, seconds=3600.0)
    assert any(line.startswith("About 3.0 h on 8 cores and 1 GPU; 1.0 h with") for line in cost_lines(jobs, MACHINE))
    two = MACHINE._replace(gpus=2)
    assert any(line.startswith("About 2.0 h on 8 cores and 2 GPUs") for line in cost_lines(jobs, two))


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
    text = "\n".join(cost_lines(found, MACHINE))
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
    assert cost_lines([], MACHINE) == []
