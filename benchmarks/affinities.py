"""Why a random walk gains or loses: the same maps walked over affinities learned from other labels; prints Markdown.

An affinity network learns from the confident labels that a run made of its maps, from half of them, and from ground
truth, all with the settings of the preset; one learns nothing. Where walks gain with ground truth and lose without,
labels are at fault and not the code. Networks are kept in the run's folder `affinities`.

python benchmarks/affinities.py RUN SAMPLES vit_own vit_affinity_cues --seed 2
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record, read_index
from seedbed.evaluate.scoring import confusion, ground_truth
from seedbed.io.heatmaps import HeatMaps, HeatMapStore
from seedbed.io.plain import from_plain
from seedbed.io.weights import write_weights
from seedbed.models import load_weights
from seedbed.papers import Layout
from seedbed.params import Preset, read_params, resolve
from seedbed.refine.affinity_walk import Walk, WalkedNetwork, random_walk_refiner
from seedbed.refine.confident import confident_labels
from seedbed.refine.mask_making import score_stack
from seedbed.refine.random_walk_masks import RandomWalk
from seedbed.train.affinity import AffinitySettings, build_affinity_network, train_affinity_network

REPOSITORY = Path(__file__).resolve().parents[1]
DATASET, NETWORK = "photographs", "affinitynet_few"
ALPHAS, STEPS = (2.0, 4.0, 8.0, 16.0), (4, 6)
LABELS = ("none", "ground truth", "ground truth, half the photographs", "maps", "maps, half the photographs")


class Experiment:
    """The maps of a run, and affinity networks to walk them with."""

    def __init__(self, run: Path, preset: Preset, model: str, explainer: str, seed: int) -> None:
        self.run, self.layout, self.seed, self.chain = run, Layout(preset.name), seed, (model, explainer)
        self.index = read_index(run / "data" / DATASET)
        self.section = preset.on(DATASET).affinity_networks[NETWORK].plain()
        self.settings = from_plain(AffinitySettings, self.section)
        self.weights = run / self.layout.weights(self.section["weights"])

    def network(self, labels: str) -> torch.nn.Module:
        """The affinity network that learnt from such labels."""
        model = build_affinity_network(self.settings, self.seed, self.weights)
        if labels == "none":
            return model.eval()
        made = self.run / "affinities" / f"{labels.replace(', ', '_').replace(' ', '_')}_seed{self.seed}.safetensors"
        if labels == "maps":
            made = self.run / self.layout.affinity(DATASET, *self.chain, NETWORK, self.seed) / "model.safetensors"
        if not made.is_file():
            made.parent.mkdir(exist_ok=True)
            write_weights(made, self._trained(labels, made.with_suffix(".pt")).state_dict(), {"labels": labels})
        load_weights(model, made)
        return model.eval()

    def _trained(self, labels: str, state: Path) -> torch.nn.Module:
        train = [record for record in self.index.split("train") if record.labels]
        train = train[::2] if "half" in labels else train
        low, high = (truth_posteriors(self.index, train),) * 2 if "truth" in labels else self._posteriors()
        index, cpu = DataIndex(self.index.root, self.index.classes, tuple(train)), torch.device("cpu")
        told: dict[str, Any] = {"state_path": state, "fingerprint": {"labels": labels}, "device": cpu}
        given: tuple[Mapping[str, HeatMaps], Mapping[str, HeatMaps]] = (low, high)
        network, _ = train_affinity_network(index, *given, self.settings, seed=self.seed, weights=self.weights, **told)
        state.unlink(missing_ok=True)
        return network

    def _posteriors(self) -> tuple[HeatMapStore, HeatMapStore]:
        folder = self.run / self.layout.affinity(DATASET, *self.chain, NETWORK, self.seed)
        low, high = (HeatMapStore(sorted((folder / kind).glob("*.h5"))) for kind in ("low", "high"))
        return low, high

    def miou(self, split: str, labels: str | None) -> dict[tuple[int, float], float]:
        """mIoU in percent by binary logarithm of the steps and exponent of the background; of no walk for None."""
        records, maps = self.index.split(split), self._maps(split)
        images = {record.image: read_picture(self.index.root / record.path) for record in records}
        walks = {(log2, alpha): self._walk(log2, alpha) for log2 in STEPS for alpha in ALPHAS}
        if labels is None:
            found = {key: self._unwalked(maps, records, walk) for key, walk in walks.items() if key[0] == STEPS[0]}
            return {key: self._score(records, masks) for key, masks in found.items()}
        first, network = next(iter(walks.values())), self.network(labels)
        cpu = torch.device("cpu")
        see = random_walk_refiner(first.settings, first.network, network, None, cpu, first.num_labels).see
        pairs = {name: see(image) for name, image in images.items()}
        masks = {
            key: {name: _mask(maps[name], walk(image, maps[name], pairs[name])) for name, image in images.items()}
            for key, walk in walks.items()
        }
        return {key: self._score(records, each) for key, each in masks.items()}

    def label_quality(self) -> tuple[float, float, float]:
        """Of the pixels with truth: the share that the maps' labels leave undecided; of the others called an object,
        and called background, the share that is right. All in percent."""
        low, high = self._posteriors()
        undecided, seen, right, called = 0, 0, [0, 0], [0, 0]
        for record in self.index.split("train"):
            if record.image in low:
                values = np.concatenate([[0], low[record.image].classes[1:] + 1])
                each = (values[store[record.image].maps.argmax(0)] for store in (low, high))
                label, truth = confident_labels(*each, self.settings.labels.rule), ground_truth(self.index, record)
                known = truth != 255
                undecided, seen = undecided + int((label[known] == 255).sum()), seen + int(known.sum())
                for kind, chosen in enumerate(((label > 0) & (label < 255) & known, (label == 0) & known)):
                    right[kind] += int((label == truth)[chosen].sum())
                    called[kind] += int(chosen.sum())
        return 100 * undecided / seen, *(100 * hit / max(1, count) for hit, count in zip(right, called, strict=True))

    def _walk(self, log2_steps: int, alpha: float) -> Walk:
        settings = RandomWalk(network=NETWORK, alpha=alpha, beta=8.0, log2_steps=log2_steps)
        return Walk(settings, from_plain(WalkedNetwork, self.section), None, len(self.index.classes) + 1)

    def _unwalked(self, maps: HeatMapStore, records: Sequence[Record], walk: Walk) -> dict[str, np.ndarray]:
        alpha = walk.settings.alpha
        stacks = {record.image: score_stack(maps[record.image].maps, alpha, None) for record in records}
        return {name: _mask(maps[name], stack.argmax(0)) for name, stack in stacks.items()}

    def _score(self, records: Sequence[Record], masks: Mapping[str, np.ndarray]) -> float:
        return 100 * confusion(self.index, records, masks).miou("in_either")

    def _maps(self, split: str) -> HeatMapStore:
        stored = "trainaug" if split == "train" else split  # both are one here
        return HeatMapStore(
            sorted((self.run / self.layout.heatmaps(DATASET, stored, *self.chain, self.seed)).glob("*.h5"))
        )


def truth_posteriors(index: DataIndex, records: Sequence[Record]) -> dict[str, HeatMaps]:
    """Ground truth as posteriors [K + 1, H, W]; void belongs to nobody."""
    found = {}
    for record in records:
        classes, mask = np.array([-1, *index.class_indices(record)]), ground_truth(index, record)
        maps = (mask == (classes + 1)[:, None, None]).astype(np.float32)
        found[record.image] = HeatMaps(classes, maps, (mask.shape[0], mask.shape[1]))
    return found


def _mask(heat: HeatMaps, positions: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], heat.classes + 1]).astype(np.uint8)[positions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder in which the workflow ran `evidence_masks`")
    parser.add_argument("samples", type=Path)
    parser.add_argument("model")
    parser.add_argument("explainer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="val")
    parser.add_argument("--labels", nargs="*", default=LABELS, choices=LABELS, help="which of them")
    asked = parser.parse_args()
    given = {"preset": "small", "samples": str(asked.samples)}
    preset = resolve({**read_params(REPOSITORY / "params.yaml"), **given})
    made = Experiment(asked.run, preset, asked.model, asked.explainer, asked.seed)
    if "maps" in asked.labels:
        undecided, objects, background = made.label_quality()
        print(f"labels: {undecided:.1f} % undecided; objects {objects:.1f} %, background {background:.1f} % right\n")
    print(f"| affinities learnt from | steps | {' | '.join(f'exponent {alpha:g}' for alpha in ALPHAS)} |")
    print(f"| --- | ---: |{' ---: |' * len(ALPHAS)}")
    for labels in (None, *asked.labels):
        found = made.miou(asked.split, labels)
        for log2_steps in dict.fromkeys(log2 for log2, _ in found):
            row = " | ".join(f"{found[log2_steps, alpha]:.1f}" for alpha in ALPHAS)
            print(f"| {labels or 'no walk'} | {2**log2_steps if labels else ''} | {row} |", flush=True)


if __name__ == "__main__":
    main()
