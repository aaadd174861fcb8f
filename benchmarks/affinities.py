"""Why a random walk gains or loses: the same maps walked over affinities learned from other labels; prints Markdown.

An affinity network is trained on the confident labels that a run made of its maps, on half of them, and on ground
truth; one is not trained at all. If walks gain with ground truth and lose without, the labels are at fault and not the
code.

python benchmarks/affinities.py RUN SAMPLES vit_own generic_attribution
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seedbed.data.index import DataIndex, Record, read_index
from seedbed.evaluate.scoring import confusion, ground_truth
from seedbed.io.heatmaps import HeatMaps, HeatMapStore
from seedbed.io.plain import from_plain
from seedbed.papers import Layout
from seedbed.params import Preset, read_params, resolve
from seedbed.refine.affinity_walk import WalkedNetwork, random_walk_refiner
from seedbed.refine.mask_making import pseudo_masks, score_stack
from seedbed.refine.random_walk_masks import RandomWalk
from seedbed.train.affinity import AffinitySettings, build_affinity_network, train_affinity_network

REPOSITORY = Path(__file__).resolve().parents[1]
DATASET, NETWORK, VOID = "photographs", "affinitynet_few", 255
ALPHAS = (4.0, 8.0, 16.0, 32.0)
STEPS = (4, 6, 8)


def truth_posteriors(index: DataIndex, records: Sequence[Record]) -> dict[str, HeatMaps]:
    """Ground truth as posteriors [K + 1, H, W]; void belongs to nobody."""
    found = {}
    for record in records:
        classes, mask = np.array([-1, *index.class_indices(record)]), ground_truth(index, record)
        maps = (mask == (classes + 1)[:, None, None]).astype(np.float32)
        found[record.image] = HeatMaps(classes, maps, mask.shape)
    return found


class Experiment:
    """The maps of a run, and affinity networks to walk them with."""

    def __init__(self, run: Path, preset: Preset, model: str, explainer: str, seed: int) -> None:
        self.layout, self.seed, self.run = Layout(preset.name), seed, run
        self.chain = (model, explainer)
        self.index = read_index(run / "data" / DATASET)
        section = preset.on(DATASET).affinity_networks[NETWORK].plain()
        self.section, self.settings = section, from_plain(AffinitySettings, section)
        self.weights = run / self.layout.weights(section["weights"])

    def maps(self, split: str) -> HeatMapStore:
        folder = self.run / self.layout.heatmaps(DATASET, split, *self.chain, self.seed)
        return HeatMapStore(sorted(folder.glob("*.h5")))

    def labels(self) -> tuple[HeatMapStore, HeatMapStore]:
        folder = self.run / self.layout.affinity(DATASET, *self.chain, NETWORK, self.seed)
        return tuple(HeatMapStore(sorted((folder / kind).glob("*.h5"))) for kind in ("low", "high"))

    def trained(self, low: Mapping[str, HeatMaps], high: Mapping[str, HeatMaps], images: set[str]) -> torch.nn.Module:
        kept = [r for r in self.index.records if "train" in r.splits and r.image in images]
        index = DataIndex(self.index.root, self.index.classes, tuple(kept))
        state = self.run / "affinities.resume.pt"
        told: dict[str, Any] = {"state_path": state, "fingerprint": {}, "device": torch.device("cpu")}
        state.unlink(missing_ok=True)
        network, _ = train_affinity_network(
            index, low, high, self.settings, seed=self.seed, weights=self.weights, **told
        )
        state.unlink(missing_ok=True)
        return network

    def networks(self) -> dict[str, torch.nn.Module]:
        train = [record for record in self.index.split("train") if record.labels]
        images, (low, high) = [record.image for record in train], self.labels()
        truth = truth_posteriors(self.index, train)
        return {
            "untrained": build_affinity_network(self.settings, self.seed, self.weights),
            "labels of the maps": self.trained(low, high, set(images)),
            "labels of the maps, half the photographs": self.trained(low, high, set(images[::2])),
            "ground truth": self.trained(truth, truth, set(images)),
            "ground truth, half the photographs": self.trained(truth, truth, set(images[::2])),
        }

    def score(self, split: str, refine: Any, see: Any = None) -> float:
        records = self.index.split(split)
        masks = dict(pseudo_masks(self.index, records, self.maps(split), refine, see=see))
        return 100 * confusion(self.index, records, masks).miou("in_either")

    def walked(self, split: str, network: torch.nn.Module, alpha: float, log2_steps: int) -> float:
        walk = RandomWalk(network=NETWORK, alpha=alpha, beta=8.0, log2_steps=log2_steps)
        shown = from_plain(WalkedNetwork, self.section)
        refine = random_walk_refiner(walk, shown, network, None, torch.device("cpu"), len(self.index.classes) + 1)
        return self.score(split, refine.walk, refine.see)

    def unwalked(self, split: str, alpha: float) -> float:
        return self.score(split, lambda image, heat: score_stack(heat.maps, alpha, None).argmax(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder in which the workflow ran `evidence_masks`")
    parser.add_argument("samples", type=Path)
    parser.add_argument("model")
    parser.add_argument("explainer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="val")
    asked = parser.parse_args()
    given = {"preset": "small", "samples": str(asked.samples)}
    preset = resolve({**read_params(REPOSITORY / "params.yaml"), **given})
    made = Experiment(asked.run, preset, asked.model, asked.explainer, asked.seed)
    print(f"| affinities from | steps | {' | '.join(f'alpha {alpha:g}' for alpha in ALPHAS)} |")
    print(f"| --- | ---: |{' ---: |' * len(ALPHAS)}")
    row = " | ".join(f"{made.unwalked(asked.split, alpha):.1f}" for alpha in ALPHAS)
    print(f"| no walk | | {row} |", flush=True)
    for name, network in made.networks().items():
        for log2_steps in STEPS:
            found = [made.walked(asked.split, network.eval(), alpha, log2_steps) for alpha in ALPHAS]
            print(f"| {name} | {2**log2_steps} | {' | '.join(f'{miou:.1f}' for miou in found)} |", flush=True)


if __name__ == "__main__":
    main()
