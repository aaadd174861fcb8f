"""The preset `small` on a dozen photographs: the samples beside the project, or drawn ones in their layout."""

import json
import shutil
from pathlib import Path

import pytest
from samples_layout import SAMPLES, sample_folders
from snakemake_runs import run

pytestmark = pytest.mark.workflow
MICRO = Path(__file__).with_name("evidence_micro.yaml")
CHAIN = "vit_own/vit_affinity_cues"


def miniature(root: Path) -> Path:
    """Eight photographs to learn from and four to measure on."""
    source, folder = SAMPLES / "voc-sample", root / "voc-sample"
    if not source.is_dir():
        return sample_folders(root)
    head, *rows = (source / "labels.csv").read_text().splitlines()
    of = lambda split: [row for row in rows if f",{split}," in row]  # noqa: E731
    chosen = [*of("train")[:8], *of("val")[:4]]
    for part, ending in (("images", "jpg"), ("masks", "png")):
        (folder / part).mkdir(parents=True)
        for row in chosen:
            name = f"{part}/{row.split(',')[0]}.{ending}"
            shutil.copy(source / name, folder / name)
    shutil.copy(source / "classes.txt", folder / "classes.txt")
    (folder / "labels.csv").write_text("\n".join([head, *chosen]) + "\n")
    return root


@pytest.mark.slow
def test_a_chain_of_photographs_from_labels_to_a_segmentation_network(tmp_path):
    samples = miniature(tmp_path / "samples")
    targets = (
        f"results/small/segmenters/photographs/{CHAIN}/few/deeplab_few/seed0/val/metrics.json",
        f"results/small/heatmaps/photographs/val/{CHAIN}/seed0/heatmaps.json",
        f"results/small/heatmaps/photographs/val/{CHAIN}/seed0/pointing_game.json",
    )
    given = ("--configfile", str(MICRO), "--config", "preset=small", f"samples={samples}")
    done = run(tmp_path / "run", *given, "--", *targets, micro=False)
    assert done.returncode == 0, done.stdout
    found = [json.loads((tmp_path / "run" / target).read_text()) for target in targets]
    assert [metrics["images"] for metrics in found[:2]] == [4, 4]
    assert 0 <= found[0]["miou"] <= 1 and 0 <= found[2]["hits"] <= 1


def test_the_whole_target_plans_on_samples_and_is_refused_without(tmp_path):
    samples = sample_folders(tmp_path / "samples")
    planned = run(
        tmp_path / "run", "-n", "--config", "preset=small", f"samples={samples}", "--", "evidence", micro=False
    )
    assert planned.returncode == 0, planned.stdout
    for rule in ("index_imagenet_folder", "score_masks", "measure_network", "train_segmenter", "draw_figure"):
        assert rule in planned.stdout
    refused = run(tmp_path / "run", "-n", "--config", "preset=small", "--", "evidence", micro=False)
    assert refused.returncode != 0 and "evidence needs real photographs" in refused.stdout
