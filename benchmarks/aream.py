"""AReAM's share of a training step, and the Hellinger distances of a layer against loops; prints Markdown tables.

OMP_NUM_THREADS=1 python benchmarks/aream.py
OMP_NUM_THREADS=1 python benchmarks/aream.py --batch 4 --present 3 --downscale 1
python benchmarks/aream.py --device cuda --batch 8 --threads 8
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seedbed.evaluate.attention import mean_hellinger
from seedbed.models import create_model
from seedbed.train.aream_loss import AReAM
from seedbed.train.objectives import build_objective

BACKBONES = (("mctformerv2_small", "mctformer", 224), ("conformer_small", "conformer", 384))
CLASSES = 20


class Clock:
    """Seconds: of CPU time, or on a GPU of the clock once everything queued is done."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def least(self, call: Callable[[], object], repeats: int) -> float:
        """Least time of ``repeats`` calls after one to warm up."""
        call()
        times = []
        for _ in range(repeats):
            start = self()
            call()
            times.append(self() - start)
        return min(times)


class TimedAReAM(nn.Module):
    """An AReAM objective that notes how long its labels and its loss take."""

    def __init__(self, objective: AReAM, clock: Clock) -> None:
        super().__init__()
        self.objective, self.clock, self.seconds = objective, clock, []
        inner = objective.supervise

        def supervise(*batch: object) -> tuple[Tensor, Tensor]:
            start = clock()
            result = inner(*batch)
            self.seconds.append(clock() - start)
            return result

        objective.supervise = supervise

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.objective(model, batch)


def smooth_pictures(batch: int, side: int) -> Tensor:
    """Pictures with edges and noise; refinement does not depend on them, but a constant one would be unfair."""
    coarse = torch.randn(batch, 3, 12, 12)
    return nn.functional.interpolate(coarse, (side, side), mode="nearest") + 0.1 * torch.randn(batch, 3, side, side)


def step_row(name: str, loss: str, side: int, args: argparse.Namespace, clock: Clock) -> str:
    torch.manual_seed(0)
    model = create_model(name, CLASSES).to(clock.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    labels = torch.zeros(args.batch, CLASSES)
    for row in labels:
        row[torch.randperm(CLASSES)[: args.present]] = 1
    batch = (smooth_pictures(args.batch, side).to(clock.device), labels.to(clock.device))
    timed = TimedAReAM(build_objective(f"{loss}_aream", downscale=args.downscale), clock).to(clock.device)

    def step(objective: Callable[..., tuple[Tensor, object]]) -> None:
        with torch.autocast(clock.device.type, torch.bfloat16, enabled=clock.device.type == "cuda"):
            total, _ = objective(model, batch)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    plain = clock.least(lambda: step(build_objective(loss)), args.repeats)
    full = clock.least(lambda: step(timed), args.repeats)
    inner = min(timed.seconds[1:])
    return (
        f"| {name}, {side} px, batch {args.batch} | {plain:.3f} | {full:.3f} | {inner:.3f} | {inner / full:.1%} "
        f"| {(full - plain) / full:.1%} | {args.batch / plain:.1f} | {args.batch / full:.1f} |"
    )


def looped_hellinger(attention: Tensor) -> Tensor:
    """The textbook form: equation 6 for one pair after the other."""
    rows = attention.double().sqrt()
    distances = [
        ((rows[i] - rows[j]) ** 2).sum().sqrt() / 2**0.5 for i in range(len(rows)) for j in range(i + 1, len(rows))
    ]
    return torch.stack(distances).mean()


def hellinger_row(grid: int, clock: Clock) -> str:
    attention = torch.randn(grid**2, grid**2, device=clock.device).softmax(dim=-1)
    ours = clock.least(lambda: mean_hellinger(attention), 3)
    start = clock()
    expected = looped_hellinger(attention)
    textbook = clock() - start
    difference = abs(float(mean_hellinger(attention) - expected))
    return f"| {grid} x {grid} patches | {textbook:.3f} | {ours:.4f} | {textbook / ours:.0f} | {difference:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--present", type=int, default=2, help="classes of an image; VOC has 1.5 on average")
    parser.add_argument("--downscale", type=int, default=2, help="of the pixel-adaptive refinement")
    parser.add_argument("--grid", type=int, default=24, help="patches a side for the Hellinger distances")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = Clock(torch.device(args.device))
    print("| network | step s | with AReAM s | labels and loss s | their share | share of all | img/s | with AReAM |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, loss, side in BACKBONES:
        print(step_row(name, loss, side, args, clock), flush=True)
    print(
        "\n| Hellinger distances of a layer | loop s | ours s | ratio | difference |\n| --- | --- | --- | --- | --- |"
    )
    print(hellinger_row(args.grid, clock), flush=True)


if __name__ == "__main__":
    main()
