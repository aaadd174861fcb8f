"""One training loop for all networks: data and losses differ, everything else is here."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate
from tqdm import tqdm

from seedbed.data.datasets import ResumableBatches, sample_seed, steps_per_epoch
from seedbed.devices.memory import training_fits
from seedbed.errors import DataError, ParameterError, UserError
from seedbed.io.fingerprint import changed, spelled_change
from seedbed.io.notice import notice
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.ranks import Ranks, joined
from seedbed.train.resume_identity import deciding_settings
from seedbed.train.run import History, Objective, Run
from seedbed.train.schedule import total_steps
from seedbed.train.state import StateWriter, load_state, take_up_state

log = logging.getLogger(__name__)


class SizedDataset(Protocol):
    """A data set of samples by key that knows how many there are."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any: ...


def fit(
    model: nn.Module,
    data: SizedDataset,
    objective: Objective,
    settings: TrainSettings,
    *,
    seed: int,
    state_path: Path,
    fingerprint: dict[str, Any],
    device: torch.device,
    circumstances: Mapping[str, Any] | None = None,
    after_step: Callable[[nn.Module, int], None] | None = None,
) -> tuple[nn.Module, History]:
    """Train ``model`` in place; return the network to save (its running average, if the settings ask) and the history.

    Every random choice of step k depends on (seed, k) alone, so a run that was killed and resumed ends with the same
    weights, bit for bit on a CPU; one that is to stop early (``stop_at``), with those that the whole run has then. In
    processes that `seedbed.devices.launch.launch` started, each computes its share of every batch, and all end with the
    weights of one process up to rounding; see `seedbed.train.ranks`.

    Args:
        model: network to train; its ``train()`` decides which layers stay frozen.
        data: data set that takes sample keys (position, seed).
        objective: loss of a batch.
        settings: hyperparameters.
        seed: seed of order, augmentation and dropout.
        state_path: where the resume state lies; removed by ``finish``. One that does not belong to this run is set
            aside, and the terminal says why.
        fingerprint: what else decides the result (data and code checksums, model options).
        device: where to compute.
        circumstances: device and library versions, for the record; the run goes on under others, see
            ``History.computed_on``.
        after_step: called after each optimiser step with the network and the step's number from 0.

    Raises:
        NotFiniteError: the loss or a weight is NaN or infinite; the last good resume state stays.
        UserError: a process that reads images died, the resume state cannot be written, or the training does not fit
            into the GPU's memory.
    """
    torch.set_num_threads(settings.compute_threads)
    per_epoch = steps_per_epoch(len(data), settings.batch_size)
    total = total_steps(settings, per_epoch)
    identity = {"settings": deciding_settings(settings), "seed": seed, "samples": len(data), **fingerprint}
    if device.type == "cpu":
        identity["compute_threads"] = settings.compute_threads
    with training_fits(min(settings.batch_size, len(data))), joined(device) as ranks:
        whole = _images_a_batch(settings, len(data), ranks)
        run = Run(model, objective, settings, device, total, per_epoch, ranks)
        states = _States(run, state_path, identity)
        states.resume(circumstances or {})
        with states.writer, _worker_deaths_explained(state_path), _progress(run) as bar:
            for batch in _batches(data, settings, run.last, seed, run.step, ranks):
                torch.manual_seed(sample_seed(seed, -1 & 0xFFFFFFFF, run.step))
                line = run.train_step(run.whole_batch(batch, whole))
                if after_step is not None:
                    after_step(model, run.step - 1)
                if line:
                    bar.set_postfix({key: f"{line[key]:.4g}" for key in ("loss", "lr")})
                bar.update()
                states.save_if_due()
        run.check_weights()
        return run.result(), run.history


def finish(state_path: Path) -> None:
    """Remove the resume state, once the outputs are on disk."""
    state_path.unlink(missing_ok=True)


class _States:
    """The resume state of a run: taken up at the start, saved now and then by the first process."""

    def __init__(self, run: Run, path: Path, identity: dict[str, Any]) -> None:
        self.run, self.path, self.identity = run, path, identity
        self.saved_at = time.monotonic()
        self.writer = StateWriter()

    def resume(self, circumstances: Mapping[str, Any]) -> None:
        """Go on from the state on disk, if it belongs to this run."""
        run = self.run
        if run.ranks.rank == 0:
            state, message = take_up_state(self.path, self.identity)
        run.ranks.wait()  # what the first process leaves at the path is what all go on from
        if run.ranks.rank:
            state, message = load_state(self.path, self.identity)
        log.info("%s; %d steps, %d an epoch", message, run.last, run.per_epoch)
        if state is not None:
            run.restore(state)
        before = run.history.computed_on
        run.history.computed_on = changed(before, circumstances, run.step)
        if before and len(run.history.computed_on) > len(before) and run.ranks.rank == 0:
            notice.warning(
                "Going on from step %d under other circumstances (%s); the last digits may differ from those of an "
                "undisturbed run, and the record of the result names both.",
                run.step,
                spelled_change(run.history.computed_on),
            )

    def save_if_due(self) -> None:
        """Begin to save a finite state once ``save_every_seconds`` have passed; the last step needs none."""
        run = self.run
        self.writer.check()
        overdue = time.monotonic() - self.saved_at > run.settings.save_every_seconds
        if run.ranks.rank == 0 and overdue and run.step < run.last:
            run.check_finite()
            run.check_weights()
            self.writer.write(self.path, self.identity, run.state())
            self.saved_at = time.monotonic()


def _images_a_batch(settings: TrainSettings, samples: int, ranks: Ranks) -> int:
    whole = min(settings.batch_size, samples)
    if whole < ranks.size:
        raise ParameterError(
            f"A batch of {whole} cannot be shared by {ranks.size} GPUs. Ask for fewer GPUs, or enlarge batch_size."
        )
    return whole


def _progress(run: Run) -> tqdm:
    silent = run.ranks.rank != 0
    return tqdm(total=run.last, initial=run.step, unit="step", mininterval=5, dynamic_ncols=True, disable=silent)


def _batches(
    data: SizedDataset, settings: TrainSettings, last: int, seed: int, first_step: int, ranks: Ranks
) -> Iterator[tuple[Tensor, ...]]:
    sampler = ResumableBatches(len(data), settings.batch_size, last, seed, first_step, ranks.rank, ranks.size)
    workers = -(-settings.loader_workers // ranks.size)
    loader = DataLoader(
        cast(Dataset, data),
        batch_sampler=sampler,
        collate_fn=_stacked,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker,
    )
    try:
        yield from loader
    except UserError as error:  # PyTorch puts a loader process's whole traceback into the message
        said = str(error).rpartition(f"{type(error).__qualname__}: ")[2].strip()
        raise (type(error)(said) if str(error).startswith("Caught ") and said else error) from None


def _stacked(samples: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """Samples as one batch."""
    sizes = list(dict.fromkeys(tuple(sample[0].shape[-2:]) for sample in samples))
    if len(sizes) > 1:
        one, other = (" x ".join(map(str, size)) for size in sizes[:2])
        raise DataError(
            f"Images of {one} and of {other} pixels cannot share a batch. Let the training's `augment` end in a step "
            "that gives all one size, such as `crop: 96` or `resize: [96, 96]`, or set its `batch_size: 1`."
        )
    return default_collate(samples)


@contextmanager
def _worker_deaths_explained(state_path: Path) -> Iterator[None]:
    """Name the cause where PyTorch notices, at any moment, that a process which reads images has died."""
    try:
        yield
    except (RuntimeError, ConnectionError) as error:  # the latter while a batch is fetched from the dead
        if isinstance(error, RuntimeError) and not re.match(r"DataLoader worker \(pid", str(error)):
            raise
        if isinstance(error, ConnectionError):
            # PyTorch's signal handler raises once, a moment later: here, and not while the message is printed.
            with suppress(RuntimeError):
                time.sleep(1)
        raise UserError(
            f"A process that reads images died ({error}), most likely for want of memory. Give the rule more memory "
            f"(mem_mb), or lower loader_workers, and rerun: training goes on from {state_path}, where there is one."
        ) from None


def _quiet_worker(_: int) -> None:
    """One thread a loader process; the cores belong to the training process."""
    torch.set_num_threads(1)
