"""Dry runs of both presets, and the workflow's own hygiene."""

import json
import re
import subprocess
import sys

import pytest
from snakemake_runs import PATIENCE, REPOSITORY, jobs_of, run

from seedbed.papers import read_papers

pytestmark = pytest.mark.workflow


def test_every_table_and_figure_of_the_paper_preset_resolves_from_nothing_with_its_cost(tmp_path):
    # Evidence is measured on photographs of one's own, in the preset `small` (tests/workflow/test_evidence.py).
    papers = [paper for paper in read_papers(REPOSITORY / "papers").values() if paper.id != "evidence"]
    targets = [f"{paper.id}_{item.id}" for paper in papers for item in (*paper.tables, *paper.figures)]
    quiet = ["-n", "-q", "rules", "reason", "--config", "preset=paper"]
    planned = run(tmp_path, *quiet, "--", *targets, micro=False)
    assert planned.returncode == 0, planned.stdout[-3000:]
    jobs, sheet = jobs_of(planned.stdout), planned.stdout[planned.stdout.index("forecast, held") :]
    assert jobs["make_table"] == sum(len(paper.tables) for paper in papers)
    assert jobs["draw_figure"] + jobs["draw_chart"] == sum(len(paper.figures) for paper in papers)
    assert "GPU-hours" in sheet and "train_classifier" in sheet
    assert re.search(r"coco14 +20\.4 GB +20\.\d GB +\d+\.\d GB", sheet)
    assert not list(tmp_path.glob("data/*")) and not list(tmp_path.glob("results/*"))


def test_cost_of_a_target_and_nothing_else(tmp_path):
    shown = run(tmp_path, "--config", "preset=paper", "of=exvit_table1", "--", "cost", micro=False)
    assert shown.returncode == 0, shown.stdout[-3000:]
    sheet = shown.stdout[shown.stdout.index("Cost of exvit_table1, preset 'paper'") :]
    assert re.search(r"^train_classifier +5 +\d+\.\d +\d+\.\d +40\.0$", sheet, re.M)
    assert re.search(r"^voc12 +3\.4 GB +3\.4 GB +\d\.\d GB$", sheet, re.M)
    assert not list(tmp_path.glob("data/*"))


def test_demo_preset_resolves_from_nothing(tmp_path):
    """Tables and figures, drawn from images and from numbers, come together in one report."""
    planned = run(tmp_path, "-n", "--", "all_tables", micro=False)
    assert planned.returncode == 0, planned.stdout[-3000:]
    jobs = jobs_of(planned.stdout)
    assert jobs["write_full_report"] == 1 and min(jobs["make_table"], jobs["draw_figure"], jobs["draw_chart"]) >= 1
    for section in ("tables/agcam/table2", "figures/agcam/figure1", "figures/exvit/figure8"):
        assert f"{section}.fragment.html" in planned.stdout


def test_a_table_with_its_own_seeds_is_planned_once_a_seed(tmp_path):
    own = "table_seeds={exvit_figure8: [3, 4]}"
    jobs = jobs_of(run(tmp_path, "-n", "--config", own, "--", "exvit_figure8", micro=False).stdout)
    assert (jobs["train_classifier"], jobs["run_protocol"], jobs["draw_chart"]) == (4, 2, 1)  # exvit, exvit_k1


@pytest.mark.parametrize("site", [[], ["gres=gpu:a100"]])
def test_one_networks_training_may_take_other_gpus_and_another_time(tmp_path, site):
    own = "resources__train_classifier__per_network={vit_hybrid: {gpu: 2, runtime: 77}}"
    targets = ["vit_affinity_table4", "exvit_table1"]
    planned = run(tmp_path, "-n", "--config", f"plan={tmp_path}/plan.json", own, *site, "--", *targets, micro=False)
    assert planned.returncode == 0, planned.stdout[-3000:]
    jobs = json.loads((tmp_path / "plan.json").read_text())
    taken = {
        job["output"].split("/")[4]: (job["gpu"], job["minutes"]) for job in jobs if job["rule"] == "train_classifier"
    }
    assert taken == {
        "vit_hybrid": (2, 77),
        **dict.fromkeys(("vgg16_cam", "seam", "resnet50_cam", "recam", "sipe", "exvit"), (0, 10)),
    }
    assert {job["gpu"] for job in jobs if job["rule"] != "train_classifier"} == {0}


def test_lint():
    linted = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_format():
    files = [str(REPOSITORY / "Snakefile"), str(REPOSITORY / "rules")]
    checked = subprocess.run(
        [sys.executable, "-m", "snakefmt.snakefmt", "--check", "-l", "120", *files],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_shipped_weights_can_be_rebuilt_from_nothing(tmp_path):
    planned = run(tmp_path, "-n", "--", "rebuild_weights", micro=False)
    assert planned.returncode == 0, planned.stdout[-2000:]
    jobs = jobs_of(planned.stdout)
    assert jobs["compare_rebuilt_weights"] == jobs["train_classifier"] >= 3
    assert "provide_shipped_weights" not in jobs, "a recipe starts from random values"


def test_archives_for_the_server_need_its_pictures(tmp_path):
    """Without VOC's test images the target says how to get them; with them it packs one a network."""
    target = ("-n", "--config", "preset=paper")
    refused = run(tmp_path, *target, "--", "exvit_table2_submission", micro=False)
    assert refused.returncode != 0
    assert "--config datasets__voc12__optional=[voc12_test]" in refused.stdout
    wanted = "datasets__voc12__optional=[voc12_test]"
    planned = run(tmp_path, *target, wanted, "--", "exvit_table2_submission", micro=False)
    assert planned.returncode == 0, planned.stdout[-2000:]
    jobs = jobs_of(planned.stdout)
    assert (jobs["pack_submission"], jobs["train_segmenter"]) == (7, 6)  # one of the networks is tested twice
    assert jobs["pack_prediction"] == 1
    assert "score_segmentation" not in jobs
