"""Time each explainer in forward passes of the model it explains, and against its textbook form.

    python benchmarks/explain.py [--model vit_base_patch16_224] [--repeats 5] [--methods rollout lrp]

One thread, one image, float32, random weights; the least CPU time of several runs, which a busy machine disturbs least.
The forward pass is timm's own, with its fused attention, timed in turn with each method. "Textbook" is the form in
which the methods are usually written: autograd through hooks for gradients, T x T products for rollout, and LRP's
linear rule with four products each way for the activating and for the (zero-weighted) inhibiting half.
"""

import argparse
import time
from collections.abc import Callable
from unittest import mock

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.explain import explain, methods, supports
from seedbed.explain import lrp as lrp_module
from seedbed.explain import transformer_attribution as attribution_module
from seedbed.explain.relevance_rules import Ours, inverse


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = timm.create_model(arguments.model).eval()
    nn.init.normal_(model.head.weight, std=0.02)
    images = torch.randn(1, *model.default_cfg["input_size"])
    several = torch.tensor([list(range(1, arguments.classes + 2))])

    print(f"{arguments.model}, {tuple(images.shape)}, torch {torch.__version__}, one thread\n")
    print("| method | forward passes | each further class, of the first | textbook | faster |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in arguments.methods or [method.name for method in methods() if supports(model, method.name)]:

        def one(name: str = name) -> Tensor:
            return explain(model, images, [1], name)

        def many(name: str = name) -> Tensor:
            return explain(model, images, several, name)

        steps = {"forward": lambda: forward(model, images), "one": one, "many": many}
        if name in TEXTBOOK and not arguments.no_textbook:
            steps["textbook"] = lambda name=name: TEXTBOOK[name](model, images, name)
        seconds = interleaved(steps, arguments.repeats)
        first = seconds["one"]
        further = (seconds["many"] - first) / arguments.classes / first
        row = [name, f"{first / seconds['forward']:.2f}", f"{further:.2f}", "", ""]
        if "textbook" in seconds:
            row[3:] = f"{seconds['textbook'] / seconds['forward']:.2f}", f"{seconds['textbook'] / first:.1f}x"
        print(f"| {' | '.join(row)} |", flush=True)


def parse() -> argparse.Namespace:
    names = [method.name for method in methods()]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_base_patch16_224", help="name of a timm Vision Transformer")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the fastest counts")
    parser.add_argument("--no-textbook", action="store_true", help="leave the textbook forms out")
    parser.add_argument("--classes", type=int, default=2, help="further classes explained beside the first")
    parser.add_argument("--methods", nargs="+", choices=names, metavar="METHOD")
    return parser.parse_args()


def interleaved(steps: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return each step's least CPU seconds; all are run in turn, so that a busy machine slows them alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:  # the first turn warms up
                times[name].append(time.process_time() - start)
    return {name: min(values) for name, values in times.items()}


@torch.no_grad()
def forward(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


def attention_and_gradients(model: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return every block's attention and its gradient by hooks and a full backward pass."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    fused = [block.attn.fused_attn for block in model.blocks]
    handles = [block.attn.attn_drop.register_forward_hook(keep) for block in model.blocks]
    for block in model.blocks:
        block.attn.fused_attn = False
    model(images)[0, 1].backward()
    for handle in handles:
        handle.remove()
    for block, flag in zip(model.blocks, fused, strict=True):
        block.attn.fused_attn = flag
    model.zero_grad()
    return [(attention.detach(), attention.grad) for attention in kept]


def textbook_gradients(model: nn.Module, images: Tensor, _name: str) -> Tensor:
    joint = None
    for attention, gradient in attention_and_gradients(model, images):
        step = (attention * gradient).clamp(min=0).mean(1)
        joint = torch.eye(step.shape[-1]) if joint is None else joint
        joint = joint + step @ joint
    return joint


@torch.no_grad()
def textbook_rollout(model: nn.Module, images: Tensor, _name: str) -> Tensor:
    kept: list[Tensor] = []
    fused = [block.attn.fused_attn for block in model.blocks]
    handles = [b.attn.attn_drop.register_forward_hook(lambda _, __, output: kept.append(output)) for b in model.blocks]
    for block in model.blocks:
        block.attn.fused_attn = False
    model(images)
    for handle in handles:
        handle.remove()
    for block, flag in zip(model.blocks, fused, strict=True):
        block.attn.fused_attn = flag
    identity = torch.eye(kept[0].shape[-1])
    joint = identity
    for attention in kept:
        matrix = attention.mean(1) + identity
        joint = matrix / matrix.sum(-1, keepdim=True) @ joint
    return joint


class TextbookRules(Ours):
    """The linear rule as usually written; both halves are worked out and the inhibiting one weighted by zero."""

    def linear(self, layer, x, y, relevance, take):
        positive, negative = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        above, below = x.clamp(min=0), x.clamp(max=0)
        halves = []
        for first, second in ((positive, negative), (negative, positive)):
            share = relevance * take(inverse(F.linear(above, first) + F.linear(below, second)))
            halves.append(take(above) * (share @ first) + take(below) * (share @ second))
        return 1.0 * halves[0] - 0.0 * halves[1]


def textbook_relevance(model: nn.Module, images: Tensor, name: str) -> Tensor:
    if name == "transformer_attribution":  # its gradients come from a backward pass of their own
        attention_and_gradients(model, images)
    with (
        mock.patch.object(lrp_module, "rules_named", lambda _: TextbookRules()),
        mock.patch.object(attribution_module, "rules_named", lambda _: TextbookRules()),
    ):
        options = {"gradient": False} if name == "transformer_attribution" else {}
        return explain(model, images, [1], name, **options)


TEXTBOOK: dict[str, Callable[[nn.Module, Tensor, str], Tensor]] = {
    "rollout": textbook_rollout,
    "gradcam": textbook_gradients,
    "generic_attribution": textbook_gradients,
    "attention_guided_cam": textbook_gradients,
    "transformer_attribution": textbook_relevance,
    "lrp": textbook_relevance,
}

if __name__ == "__main__":
    main()
