"""Peak memory of a training's step at full size and batch, without a GPU; prints a Markdown table.

Networks and batches have shapes and no values (`counting.py`, `answered.py`), and operators are those of a CPU: what
lives at once is added up, rounded to 512 bytes as PyTorch rounds on a GPU. Two steps are taken past all warm-ups, when
losses do all that they ever do; the second one is told. Not in it: the CUDA context, working space of cuDNN and cuBLAS,
fragmentation, copies that kernels of a GPU make where those of a CPU make none.

OMP_NUM_THREADS=1 python benchmarks/peak.py toco/voc12 toco/coco14
OMP_NUM_THREADS=1 python benchmarks/peak.py --table segmenters weaktr/voc12
"""

import argparse
import os
import tempfile
import time
import warnings
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import work
from answered import VALUES_ASKED, answered
from counting import Unvalued, as_on_a_gpu
from seedbed.params import read_params, resolve
from seedbed.params.preset import TRAININGS
from seedbed.plan.forecasts.units import Units

REPOSITORY = Path(__file__).resolve().parents[1]
BLOCK = 512
STEPS = 2  # by the second an optimiser has its state


class Living(TorchDispatchMode):
    """Adds up the bytes of tensors that live: now, and at most since `peak` was set.

    Args:
        held: tensors that were made before.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()
        for tensor in held:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {each.untyped_storage()._cdata for each in _tensors((args, kwargs))}
        for tensor in _tensors(out):
            if tensor.untyped_storage()._cdata not in given:  # else a view, or changed in place
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._known.add(storage._cdata)
        weakref.finalize(storage, self._drop, storage._cdata, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def measured(spec: work.Spec, images: int) -> tuple[int, int]:
    """Bytes that live before a training's step, and at most in it."""
    with tempfile.TemporaryDirectory() as folder, as_on_a_gpu(spec["bf16"]), answered():
        placed = _Placed()
        step: Any = work.build("train", spec, images, placed, torch.device("cpu"), Path(folder))
        with Living(placed.tensors()) as living:
            for _ in range(STEPS):
                before = living.peak = living.now
                step()
    return before, living.peak


class _Placed:
    """As `Unvalued`, which it uses; remembers what it placed."""

    def __init__(self) -> None:
        self.place, self.batch, self.modules = Unvalued(), [], []

    def __call__(self, what: Any) -> Any:
        found = self.place(what)
        (self.batch if isinstance(found, Tensor) else self.modules).append(found)
        return found

    def tensors(self) -> list[Tensor]:
        held = [each for module in self.modules for each in (*module.parameters(), *module.buffers())]
        return [*held, *self.batch]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trainings", nargs="+", metavar="NAME/DATASET", help="toco/voc12")
    parser.add_argument("--table", choices=[table for table, _ in TRAININGS.values()], default="models")
    parser.add_argument("--images", type=int, help="in a batch; the preset's, if not given")
    parser.add_argument("--preset", default="paper")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    units = Units(resolve({**read_params(REPOSITORY / "params.yaml"), "preset": asked.preset}))
    print("| training | images | bf16 | before, GiB | peak, GiB | took, s |\n| --- | ---: | --- | ---: | ---: | ---: |")
    for training in asked.trainings:
        name, _, dataset = training.partition("/")
        spec = units.training(asked.table, name, dataset)[0].spec
        images = asked.images or getattr(units.on(dataset), asked.table)[name].train.batch_size
        begun = time.time()
        try:
            before, peak = (size / 2**30 for size in measured(spec, images))
        except VALUES_ASKED as error:
            parser.exit(1, f"{training}: its step asks for a value ({error}); see answered.py for those that may.\n")
        side, bf16 = " x ".join(map(str, spec["side"])), "yes" if spec["bf16"] else "no"
        took = time.time() - begun
        print(f"| {training} | {images} of {side} | {bf16} | {before:.2f} | {peak:.2f} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
