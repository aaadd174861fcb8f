"""Networks against their textbook forms, one thread; prints a Markdown table.

python benchmarks/models.py
python benchmarks/models.py --repeats 5 --channels 448 --cells 56
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from seedbed.models import create_model
from seedbed.models.pair_affinity import pair_affinities, pair_offsets


def stacked_pair_affinities(features: Tensor) -> Tensor:
    """The textbook form: gather every pair's features into [B, C, offsets, pixels], subtract, average."""
    height, width = features.shape[-2:]
    rows, columns = height - 4, width - 8
    partners = [features[..., dy : dy + rows, 4 + dx : 4 + dx + columns].flatten(2) for dy, dx in pair_offsets()]
    source = features[..., :rows, 4 : 4 + columns].flatten(2)
    return (-(source.unsqueeze(2) - torch.stack(partners, dim=2)).abs().mean(dim=1)).exp()


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Least CPU time of `repeats` calls after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def saved_megabytes(call: Callable[[], object]) -> float:
    """Memory that autograd keeps between the forward and the backward pass."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t, lambda t: t
    ):
        result = call()
    del result
    return sum(kept.values()) / 1e6


def affinity_rows(channels: int, cells: int, repeats: int) -> list[str]:
    torch.manual_seed(0)
    features = torch.randn(1, channels, cells, cells, requires_grad=True)
    difference = (pair_affinities(features) - stacked_pair_affinities(features)).abs().max().item()
    forms = (stacked_pair_affinities, pair_affinities)
    rows = []
    for what, run in (
        ("forward", lambda f: f(features)),
        ("forward + backward", lambda f: f(features).sum().backward()),
    ):
        textbook, ours = (seconds(partial(run, form), repeats) for form in forms)
        rows.append(f"| pair affinities, {what} | {textbook:.3f} s | {ours:.3f} s | {textbook / ours:.1f}x |")
    textbook, ours = (saved_megabytes(partial(form, features)) for form in forms)
    rows.append(f"| pair affinities, kept for backward | {textbook:.0f} MB | {ours:.0f} MB | {textbook / ours:.0f}x |")
    rows.append(f"| pair affinities, greatest difference | - | {difference:.1e} | - |")
    return rows


def attention_rows(name: str, classes: int, side: int, repeats: int) -> list[str]:
    model, images = create_model(name, classes).eval(), torch.randn(1, 3, side, side)
    with torch.no_grad():
        plain, mean, heads = (seconds(partial(model, images, attention=a), repeats) for a in (None, "mean", "heads"))
    return [
        f"| {name} at {side}, attention averaged over heads | {heads:.2f} s (kept per head) | {mean:.2f} s | "
        f"{heads / mean:.2f}x; {mean / plain:.2f} of a forward without |"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--channels", type=int, default=448, help="of the affinity features")
    parser.add_argument("--cells", type=int, default=56, help="side of the affinity features")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| what | textbook | ours | ratio |\n| --- | --- | --- | --- |")
    rows = affinity_rows(arguments.channels, arguments.cells, arguments.repeats)
    rows += attention_rows("mctformerv2_small", 20, 384, arguments.repeats)
    rows += attention_rows("conformer_small", 21, 384, arguments.repeats)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
