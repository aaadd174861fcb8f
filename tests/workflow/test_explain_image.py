"""`explain_image` on an image of the reader's own."""

import pytest
from PIL import Image
from snakemake_runs import run

from seedbed.io.heatmaps import HeatMapStore

pytestmark = pytest.mark.workflow


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "my photo.jpg"
    Image.linear_gradient("L").resize((160, 90)).convert("RGB").save(path)
    return path


def test_page_and_maps_of_a_picture(tmp_path, photograph):
    few = [f"datasets__shapes_single__{split}={count}" for split, count in (("train", 2), ("trainaug", 2), ("val", 0))]
    given = ["--config", *few, f"image={photograph}", "model=vit_base", "methods=rollout,gradcam"]
    done = run(tmp_path / "run", *given, "--", "explain_image")
    assert done.returncode == 0, done.stdout[-2000:]
    folder = tmp_path / "run" / "results/demo/explained"
    with Image.open(folder / "my photo_vit_base.png") as page:
        assert page.size[0] > 300
    maps = HeatMapStore([folder / "my photo_vit_base.h5"])
    assert {name: heat.maps.shape for name, heat in maps.items()} == {"rollout": (3, 90, 160), "gradcam": (3, 90, 160)}


@pytest.mark.parametrize(
    "given, weights",
    [
        (["model=exvit"], "classifiers/shapes/exvit/seed0/model.safetensors"),  # where a table measures it first
        (["model=exvit", "on=shapes_coco"], "classifiers/shapes_coco/exvit/seed0/model.safetensors"),
        (["model=vit_base_cub"], "classifiers/shapes_birds/vit_base_cub/seed0/model.safetensors"),
        (
            ["model=mctformerv2", "models__mctformerv2__checkpoint={checkpoint}"],
            "classifiers/shapes/mctformerv2-checkpoint/seed0/model.safetensors",
        ),
    ],
)
def test_a_trained_network_explains_with_the_classes_it_knows(tmp_path, photograph, given, weights):
    checkpoint = tmp_path / "published.pth"
    checkpoint.touch()
    given = [option.format(checkpoint=checkpoint) for option in given]
    planned = run(tmp_path / "run", "-n", "--config", f"image={photograph}", *given, "--", "explain_image")
    assert planned.returncode == 0, planned.stdout[-2000:]
    assert f"results/demo/{weights}" in planned.stdout


@pytest.mark.slow
def test_what_is_wrong_is_named(tmp_path, photograph):
    for given, expected in (
        ([], "explain_image needs an image: --config image=cat.jpg"),
        ([f"image={tmp_path}/none.jpg", "model=resnet50"], "none.jpg"),
        ([f"image={photograph}", "on=shapez"], "on=shapez: Unknown data set 'shapez'. Did you mean 'shapes'"),
    ):
        failed = run(tmp_path / "run", "-n", "--config", "seeds=[0]", *given, "--", "explain_image")
        assert failed.returncode != 0 and expected in failed.stdout
