"""How long a job will take: what it repeats for each image, counted, over what its machine sustains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from seedbed.params import Preset
from seedbed.params.preset import TRAININGS
from seedbed.plan.forecasts.counts import Count, counted
from seedbed.plan.forecasts.rates import Rates, devices, table_of_rates
from seedbed.plan.forecasts.typical import images_of, split_sizes
from seedbed.plan.forecasts.units import Unit, Units
from seedbed.plan.jobs import Room

Names = Mapping[str, str]


@dataclass(frozen=True)
class Work:
    """What a job does for each of its images.

    Attributes:
        images: how many; a training's are those of all its batches.
        network: what runs where the networks run.
        beside: what cores do meanwhile, ``hands`` of them at most.
        after: what one core does while the network waits.
        batch: images that a network takes at once.
        bf16: whether the network computes in bfloat16.
        shared: whether several GPUs share the network.
        compute_threads: cores that the network takes where there is no GPU.
    """

    images: float
    network: Unit | None = None
    beside: tuple[Unit, ...] = ()
    hands: int = 1
    after: tuple[Unit, ...] = ()
    batch: float = 1.0
    bf16: bool = False
    shared: bool = False
    compute_threads: int = 1


class Forecaster:
    """Seconds of a preset's jobs.

    Args:
        preset: the checked preset.
        rates: of the device that jobs with a GPU compute on.
        protocol: name and options of a measurement, from the names in its path.
        counts: what units cost; those that come with the project, if not given.
    """

    def __init__(
        self,
        preset: Preset,
        rates: Rates,
        protocol: Callable[[Any], Mapping[str, Any]],
        counts: Mapping[str, Count] | None = None,
    ) -> None:
        self.preset, self.rates, self.protocol = preset, rates, protocol
        self.units, self.counts = Units(preset), counted() if counts is None else counts
        self.core, self.table = devices()["cpu"], table_of_rates()

    def seconds(self, rule: str, names: Names, threads: int, gpu: int, room: tuple[Room, ...] = ()) -> float | None:
        """Wall time of a job; None where nobody knows how many images it has, or a unit of it has not been counted.

        Args:
            rule: its rule.
            names: the names in its path.
            threads, gpu: cores and GPUs that it holds.
            room: what it adds on disk, of which the downloads are made.
        """
        if rule in self.table["fixed"]:
            return float(self.table["fixed"][rule])
        if rule in ("fetch_source", "fetch_timm_weights", "unpack_source"):
            rate = self.table["unpack" if rule == "unpack_source" else "download"]
            known = [each.size for each in room if each.size is not None]
            return sum(known) / (1e6 * rate) + 2 if known or rule == "fetch_timm_weights" else None
        work = self.work(rule, names, threads)
        return None if work is None else self._taken(work, threads, gpu)

    def work(self, rule: str, names: Names, threads: int) -> Work | None:
        """What a job does; None for a rule whose images nobody knows, or that is not forecast."""
        make = _WORK.get(rule)
        return make(self, rule, names, threads) if make else None

    def missing(self, work: Work) -> list[Unit]:
        """Units of a job that have not been counted."""
        every = [*work.beside, *work.after, *([work.network] if work.network else [])]
        return [unit for unit in every if unit.key not in self.counts]

    def _taken(self, work: Work, threads: int, gpu: int) -> float | None:
        if self.missing(work):
            return None
        beside = sum(self.counts[unit.key].seconds for unit in work.beside) / max(1, min(work.hands, threads))
        after = sum(self.counts[unit.key].seconds for unit in work.after)
        gpu = gpu if self.rates.memory else 0
        start = self.table["start"]["gpu" if gpu else "core"]
        if work.network is None:
            return start + work.images * (beside + after)
        key, count = work.network.key, self.counts[work.network.key]
        if not gpu:  # the network takes the cores that would have worked beside it
            alone = self.core.seconds(key, count, work.batch, threads=min(work.compute_threads, threads))
            return start + work.images * (alone + beside + after)
        several = gpu * self.table["efficiency"] if work.shared and gpu > 1 else 1.0
        network = self.rates.seconds(key, count, work.batch, work.bf16) / several
        return start + work.images * (max(network, beside) + after)

    # -- what the rules do

    def _training(self, rule: str, names: Names, threads: int) -> Work | None:
        table, wildcard = TRAININGS[rule]
        name, dataset = names[wildcard], names["dataset"]
        train = getattr(self.units.on(dataset), table)[name].train
        known = split_sizes(self.preset.datasets[dataset]).get(train.split)
        if known is None:
            return None
        batch = min(train.batch_size, known)
        steps = train.iterations or train.epochs * max(1, known // batch)
        step, loaded = self.units.training(table, name, dataset)
        return Work(
            images=train.steps_taken(steps) * batch,
            network=step,
            beside=(loaded,),
            hands=threads if train.loader_workers else 1,
            batch=batch,
            bf16=train.bf16,
            shared=True,
            compute_threads=train.compute_threads,
        )

    def _explaining(self, rule: str, names: Names, threads: int) -> Work | None:
        run, views, fuse, store = self.units.explanation(names)
        return self._each(names, run, beside=(views, fuse), hands=threads, after=(store,), batch=self._batch(names))

    def _measuring(self, rule: str, names: Names, threads: int) -> Work | None:
        found = self.protocol(SimpleNamespace(**names))
        run, views = self.units.protocol(names, found["name"], found["options"])
        return self._each(names, run, beside=(views,), hands=2, batch=self._batch(names))

    def _of_network(self, rule: str, names: Names, threads: int) -> Work | None:
        if names["measurement"] == "network_size":
            return Work(1.0)  # one image's operations, counted without computing them
        run, views = self.units.of_network(names, self.preset.protocols.get(names["measurement"], {}))
        return self._each(names, run, beside=(views,), hands=2)

    def _labelling(self, rule: str, names: Names, threads: int) -> Work | None:
        network = self.units.on(names["dataset"]).affinity_networks[names["network"]]
        return self._each({**names, "split": network.train.split}, after=(self.units.labelling(names),))

    def _refining(self, rule: str, names: Names, threads: int) -> Work | None:
        return self._each(names, after=(self.units.refining(names),))

    def _walking(self, rule: str, names: Names, threads: int) -> Work | None:
        run, walk = self.units.walking(names)
        return self._each(names, run, beside=(walk,), hands=threads)

    def _segmenting(self, rule: str, names: Names, threads: int) -> Work | None:
        make = self.units.predicting if rule == "predict_masks" else self.units.segmenting
        run, scale, smooth = make(names)
        return self._each(names, run, beside=(scale, smooth), hands=threads)

    def _scoring(self, rule: str, names: Names, threads: int) -> Work | None:
        make = self.units.sweeping if rule == "score_heatmaps" else self.units.scoring
        return self._each(names, after=(make(names),))

    def _each(self, names: Names, network: Unit | None = None, **more: Any) -> Work | None:
        """Work on each image of a job."""
        images = images_of(self.preset.datasets[names["dataset"]], names)
        return None if images is None else Work(images, network, **more)

    def _batch(self, names: Names) -> int:
        """Images at once; those of their own size seldom meet another of that size."""
        entry = self.units.explainer(names["dataset"], names["explainer"], names["model"])
        return entry.batch_size if entry.input.size else 1


_WORK: dict[str, Callable[[Forecaster, str, Names, int], Work | None]] = {
    **dict.fromkeys(TRAININGS, Forecaster._training),
    "explain": Forecaster._explaining,
    "run_protocol": Forecaster._measuring,
    "measure_network": Forecaster._of_network,
    "label_affinities": Forecaster._labelling,
    "refine_masks": Forecaster._refining,
    "random_walk": Forecaster._walking,
    "segment": Forecaster._segmenting,
    "predict_masks": Forecaster._segmenting,
    "score_heatmaps": Forecaster._scoring,
    **dict.fromkeys(("score_pseudo_masks", "score_segmentation", "score_prediction"), Forecaster._scoring),
}
