"""The whole chain on the micro data set: what it leaves, and what makes it run again."""

import csv
import html
import json
import os
import re
import shlex
import tarfile
import zipfile
from pathlib import Path

import h5py
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from snakemake_runs import REPOSITORY, TABLE, artifacts, jobs_of, run

pytestmark = pytest.mark.workflow


def test_table_holds_reported_and_measured_numbers(finished):
    with (finished / f"{TABLE}.csv").open(newline="") as stream:
        rows = {row["row"]: row for row in csv.DictReader(stream)}
    assert [rows[name]["supervision"] for name in ("ours", "full_supervision")] == ["I", "F"]
    for name in ("cam_vgg16", "affinitynet_vgg16", "ours", "ours_affinitynet", "segmentation", "full_supervision"):
        source = json.loads((finished / rows[name]["sources"]).read_text())
        assert float(rows[name]["measured"]) == pytest.approx(100 * source["miou_in_truth"], rel=1e-5)
    assert float(rows["ours"]["difference"]) == pytest.approx(float(rows["ours"]["measured"]) - 44.60, abs=1e-3)


def test_full_supervision_trains_no_classifier_and_makes_no_maps(tmp_path):
    target = "results/demo/segmenters/shapes/none/none/truth/deeplab_v1_resnet38/seed0/val/metrics.json"
    planned = jobs_of(run(tmp_path, "-n", "--", target).stdout)
    assert planned == {
        "make_shapes": 1, "provide_shipped_weights": 1, "refine_masks": 4, "train_segmenter": 1, "segment": 2,
        "score_segmentation": 1,
    }  # fmt: skip


def test_every_artifact_carries_provenance(finished):
    root = finished / "results/demo"
    records = [safe_open(path, "pt").metadata()["provenance"] for path in root.rglob("*.safetensors")]
    records += [h5py.File(path).attrs["provenance"] for path in root.rglob("*.h5")]
    records += [zipfile.ZipFile(path).read("provenance.json") for path in root.rglob("*.zip")]
    records += [json.dumps(json.loads(p.read_text())["provenance"]) for p in root.glob("*/**/metrics.json")]
    assert len(records) >= 15
    card = json.loads((finished / "data/shapes/card.json").read_text())
    for record in map(json.loads, records):
        assert {"parameters", "data_sha256", "code", "libraries", "seed", "device"} <= set(record)
        assert record["data_sha256"] == card["sha256"]
        assert record["device"] == "cpu" and record["libraries"]["torch"]


def test_report_says_it_is_the_demo_and_opens_offline(finished):
    page = (finished / "results/demo/report.html").read_text()
    assert "This is the demo run" in page and "not comparable" in page
    assert "44.60" in page and "data:image/png;base64," in page and "<svg" in page
    assert not re.search(r'(?:src|href)="https?://', page)
    assert "Difference" not in page  # such numbers are not compared
    assert len(page) < 15_000_000


def test_the_command_behind_a_number_makes_its_file_and_no_other(copy_of_finished):
    page = html.unescape((copy_of_finished / f"{TABLE}.html").read_text())
    commands = [shlex.split(text) for text in re.findall(r'<pre [^>]*aria-label="Command[^>]*>(.*?)</pre>', page)]
    assert len(commands) == 6
    for command in commands[:2]:  # planning takes seconds, and they are made by one function
        assert command[:5] == ["snakemake", "--cores", "all", "--configfile", "tests/workflow/micro.yaml"]
        *options, dashes, path = command[5:]
        assert dashes == "--" and (copy_of_finished / path).is_file()
        (copy_of_finished / path).unlink()
        planned = run(copy_of_finished, "-n", *options, "--", path)
        assert planned.returncode == 0 and sum(jobs_of(planned.stdout).values()) == 1, planned.stdout[-2000:]


def test_tracking_record_was_sent_and_store_holds_a_child_a_row(finished):
    record = json.loads((finished / "results/demo/tracking/vit_affinity/table4.json").read_text())
    assert record["status"] == "sent"
    assert {"vit_affinity_table4", "ours", "ours_affinitynet", "segmentation"} <= set(record["runs"])
    assert (finished / "results/mlflow.db").is_file()
    card = json.loads((finished / "data/shapes/card.json").read_text())
    measured = {child["name"]: child["datasets"] for child in record["payload"]["children"]}
    assert measured["ours_affinitynet"] == [
        {"name": "shapes", "split": "val", "source": "data/shapes", "sha256": card["sha256"]}
    ]


def test_second_call_does_nothing(finished):
    again = run(finished)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout


def test_touching_code_and_data_reruns_nothing(copy_of_finished):
    for path in (
        copy_of_finished / "data/shapes/index.csv",
        copy_of_finished / "data/weights/vit_tiny_r_s8.safetensors",
    ):
        path.touch()
    assert "Nothing to be done" in run(copy_of_finished, "-n").stdout


def test_a_clock_that_went_backwards_reruns_nothing(copy_of_finished):
    """Artifacts that seem older than what they were made of: their checksums say that nothing changed."""
    for number, path in enumerate(sorted((copy_of_finished / "results").rglob("*"))):
        if path.is_file():
            os.utime(path, (1e9 - number, 1e9 - number))
    assert "Nothing to be done" in run(copy_of_finished, "-n").stdout


def test_a_parameter_reruns_what_uses_it_and_nothing_else(copy_of_finished):
    planned = run(copy_of_finished, "-n", "--config", "refiners__affinitynet__beta=7")
    jobs = jobs_of(planned.stdout)
    assert jobs["random_walk"] == 6 and jobs["train_segmenter"] == 1
    assert not {"make_shapes", "train_classifier", "explain", "train_affinity_network", "score_heatmaps"} & set(jobs)


def test_runtime_of_a_rule_is_no_reason_to_run_it(copy_of_finished):
    planned = run(copy_of_finished, "-n", "--config", "resources__train_classifier__runtime=77")
    assert "Nothing to be done" in planned.stdout


@pytest.mark.slow
def test_number_of_shards_changes_no_score(copy_of_finished, finished):
    maps = "results/demo/heatmaps/shapes/val/vit_hybrid/vit_affinity_cues/seed0/heatmaps.json"
    predicted = "results/demo/segmenters/shapes/none/none/truth/deeplab_v1_resnet38/seed0/val/metrics.json"
    done = run(copy_of_finished, "--config", "shards=3", "--", maps, predicted)
    assert done.returncode == 0, done.stdout[-4000:]
    assert {"explain": 3, "segment": 3}.items() <= jobs_of(done.stdout).items()
    for name in (maps, predicted):
        assert (copy_of_finished / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.slow
def test_number_of_shards_changes_no_table(finished, tmp_path):
    done = run(tmp_path, "--config", "shards=3", "--", f"{TABLE}.csv")
    assert done.returncode == 0, done.stdout[-4000:]
    whole, three = artifacts(finished), artifacts(tmp_path)
    unsharded = [name for name in three if "-of-" not in name]
    assert len(unsharded) >= 8
    for name in unsharded:
        assert three[name] == whole[name], name


def test_snakemake_report(finished, tmp_path):
    target = tmp_path / "report.zip"
    made = run(finished, "--report", str(target), "--", "vit_affinity_table4")
    assert made.returncode == 0, made.stdout[-3000:]
    assert any(name.endswith("table4.html") for name in zipfile.ZipFile(target).namelist())


@pytest.mark.slow
def test_a_figure_from_numbers_and_an_archive_for_the_server(copy_of_finished):
    """Every K of eX-ViT's figure 8, whose own K scores what its heat maps do; and the predictions of val, packed."""
    folder = "results/demo/segmenters/shapes/vit_hybrid/vit_affinity_cues/affinitynet/deeplab_v1_resnet38/seed0/val"
    maps = "results/demo/heatmaps/shapes/train/exvit/attribute_guided_map/seed0"
    targets = ("exvit_figure8", f"{folder}/submission.tgz", f"{maps}/heatmaps.json")
    made = run(copy_of_finished, "--config", "seeds=[0]", "--", *targets)
    assert made.returncode == 0, made.stdout[-3000:]
    measured = {"run_protocol", "merge_protocol", "draw_chart", "exvit_figure8", "pack_submission"}
    network = {"provide_shipped_weights", "train_classifier", "explain", "score_heatmaps"}
    assert set(jobs_of(made.stdout)) == measured | network
    root = copy_of_finished / "results/demo"
    found = (json.loads((copy_of_finished / maps / f"{name}.json").read_text()) for name in ("layerwise", "heatmaps"))
    layers, whole = found
    assert layers["miou_per_layer"][1] == pytest.approx(whole["miou"], abs=2e-3)  # stored maps are float16
    with (root / "figures/exvit/figure8.csv").open(newline="") as stream:
        rows = [
            row for row in csv.DictReader(stream) if row["label"] == "mIoU, one network" and row["what"] == "measured"
        ]
    assert [row["x"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["value"]) for row in rows] == pytest.approx([100 * m for m in layers["miou_per_layer"]], rel=1e-4)
    page = (root / "figures/exvit/figure8.html").read_text()
    assert 'class="plot"' in page and "figure8.svg" in page and "One seed (0)" in page and "not comparable" in page
    record = json.loads((copy_of_finished / folder / "submission.json").read_text())
    with tarfile.open(copy_of_finished / folder / "submission.tgz") as archive:
        assert len(archive.getnames()) == record["images"] == 6
        assert {str(Path(name).parent) for name in archive.getnames()} == {record["folder"]}


@pytest.mark.slow
def test_a_network_predicts_masks_itself(copy_of_finished):
    """Training, predicted masks in two shards, their score, an archive for the server: no map, no other network."""
    folder = "results/demo/predictions/shapes/resnet38_single_stage/seed0/val"
    done = run(copy_of_finished, "--", f"{folder}/metrics.json", f"{folder}/submission.tgz")
    assert done.returncode == 0, done.stdout[-3000:]
    planned = jobs_of(done.stdout)
    planned.pop("provide_shipped_weights", None)
    assert planned == {"train_classifier": 1, "predict_masks": 2, "score_prediction": 1, "pack_prediction": 1}
    scored = json.loads((copy_of_finished / folder / "metrics.json").read_text())
    assert scored["images"] == 6 and 0 <= scored["miou"] <= 1
    names = [name for path in (copy_of_finished / folder).glob("*.zip") for name in zipfile.ZipFile(path).namelist()]
    assert len([name for name in names if name.endswith(".png")]) == 6
    again = run(copy_of_finished, "-n", "--config", "models__resnet38_single_stage__prediction__flip=true", "--",
                f"{folder}/metrics.json")  # fmt: skip
    assert jobs_of(again.stdout) == {"predict_masks": 2, "score_prediction": 1}


@pytest.mark.slow
def test_a_network_of_two_pretrained_towers(tmp_path):
    """One tower trained on the data, one of shipped weights, put together before the network that starts from both."""
    brief = [f"models__{name}__train__epochs=1" for name in ("clip_vit_base_16", "weclip_plus")]
    folder = "results/demo/classifiers/shapes"
    done = run(tmp_path, "--config", *brief, "--", f"{folder}/weclip_plus/seed0/model.safetensors")
    assert done.returncode == 0, done.stdout[-3000:]
    planned = jobs_of(done.stdout)
    assert planned["train_classifier"] == 2 and planned["describe_classifier"] == planned["encode_texts"] == 1
    names = ("clip_vit_base_16", "clip_dinov2_small", "weclip_plus")
    clip, both, trained = (load_file(tmp_path / folder / name / "seed0/model.safetensors") for name in names)
    shipped = load_file(REPOSITORY / "pretrained/vit_tiny_patch8_96.safetensors")
    for found in (both, trained):
        assert (found["tower.head.weight"] == clip["tower.head.weight"]).all()
        assert (found["dino.norm.weight"] == shipped["norm.weight"]).all()
    assert (both["predict.weight"] != trained["predict.weight"]).any()


def test_library_never_imports_snakemake():
    sources = (REPOSITORY / "src").rglob("*.py")
    guilty = [p for p in sources if re.search(r"^\s*(from|import) snakemake\b", p.read_text(), re.M)]
    assert guilty == []


def test_masks_are_exported_for_other_programs(copy_of_finished):
    folder = "results/demo/exports/shapes/val"
    done = run(copy_of_finished, "--", folder)
    assert done.returncode == 0 and jobs_of(done.stdout) == {"export_split": 1}
    content = json.loads((copy_of_finished / folder / "coco.json").read_text())
    assert len(content["images"]) == len(list((copy_of_finished / folder / "masks").glob("*.png"))) == 6
    scored = json.loads((copy_of_finished / folder / "metrics.json").read_text())
    masks = "results/demo/masks/shapes/val/vit_hybrid/vit_affinity_cues/affinitynet/seed0/metrics.json"
    if (copy_of_finished / masks).is_file():
        assert scored["miou"] == json.loads((copy_of_finished / masks).read_text())["miou"]
    planned = run(copy_of_finished, "-n", "--", "export_masks")
    assert jobs_of(planned.stdout)["export_split"] == 1  # that of train is left


def test_a_table_becomes_an_archive_to_deposit(copy_of_finished):
    done = run(copy_of_finished, "--config", "of=vit_affinity_table4", "--", "archive")
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(jobs_of(done.stdout)) == {"archive", "archive_table"}
    with zipfile.ZipFile(copy_of_finished / "results/demo/archives/vit_affinity_table4.zip") as archive:
        names = set(archive.namelist())
        crate = json.loads(archive.read("ro-crate-metadata.json"))
    assert {f"{TABLE}.{kind}" for kind in ("csv", "md", "json", "tex", "html", "png")} <= names
    assert {"data/shapes/card.json", "data/shapes/croissant.json", "rules/tables.smk", "requirements.lock"} <= names
    (root,) = (entity for entity in crate["@graph"] if entity["@id"] == "./")
    assert root["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    unknown = run(copy_of_finished, "--config", "of=vit_afinity_table4", "--", "archive")
    assert unknown.returncode != 0 and "Did you mean 'vit_affinity_table4'?" in unknown.stdout
