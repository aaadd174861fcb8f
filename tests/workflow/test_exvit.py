"""eX-ViT in the pipeline: its explanations in the store, and the measurements that no other paper makes."""

import json
from pathlib import Path

import numpy as np
import pytest
from snakemake_runs import MICRO, run

from seedbed.io.heatmaps import HeatMapStore

pytestmark = pytest.mark.workflow

OVERLAY = Path(__file__).with_name("exvit_micro.yaml")
MAPS = "results/demo/heatmaps/shapes/val/exvit"
NETWORK = "results/demo/classifiers/shapes/exvit/seed0/val"


@pytest.mark.slow
def test_maps_and_measurements_of_one_network(tmp_path):
    shards = [f"{MAPS}/{name}/seed0/1-of-1.h5" for name in ("attribute_3", "emha_attention")]
    measured = [f"{MAPS}/attribute_guided_map/seed0/{name}.json" for name in ("instances", "noise", "equivariance")]
    measured += [f"{NETWORK}/{name}.json" for name in ("attributes", "value_alignment")]
    overlays = ["--configfile", str(MICRO), str(OVERLAY), "--config", "shards=1"]
    done = run(tmp_path, *overlays, "--", *shards, *measured, micro=False)
    assert done.returncode == 0, done.stdout[-4000:]

    for shard in shards:
        store = HeatMapStore([tmp_path / shard])
        assert len(store) == 6
        for heat in map(store.__getitem__, store):
            assert heat.maps.shape[-2:] == (96, 96) and 0 <= heat.maps.min() <= heat.maps.max() <= 1
    found = [json.loads((tmp_path / path).read_text()) for path in measured]
    instances, noise, followed, attributes, alignment = found
    assert instances["images"] == 6 and instances["true_instances"] >= 6 and 0 <= instances["ar"] <= 1
    assert noise["images"] == 6 and noise["levels"] == [0.05, 0.1, 0.2, 0.4]
    assert np.isfinite([noise[f"cosine_{level}"] for level in noise["levels"]]).all()
    assert followed["changes"] == ["flip", "scale_0.75", "scale_1.25", "shift_0.125", "colour_0.4"]
    assert followed["images"] == attributes["images"] == alignment["images"] == 6
    assert np.isfinite([followed["cosine_flip"], attributes["contribution_cosine"]]).all()
    assert all(0 < value < 1 for value in alignment["alignment_per_layer"])
