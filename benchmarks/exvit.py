"""eX-ViT's costs against what they are added to, one thread; prints Markdown tables.

python benchmarks/exvit.py
python benchmarks/exvit.py --side 384 --batch 4 --repeats 5
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seedbed.models import create_model
from seedbed.models.emha import ExplainableAttention, unit_rows
from seedbed.models.transformer import Attention
from seedbed.train.exvit_losses import diversity, pooled_attributes
from seedbed.train.exvit_objective import ExViTObjective

CLASSES = 20


class TextbookAttention(Attention):
    """Softmax attention that forms its matrix, as the papers write it."""

    def forward(self, x: Tensor, record: None = None) -> Tensor:
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(batch, tokens, dim))


class TextbookEmha(ExplainableAttention):
    """E-MHA that forms its matrix."""

    def forward(self, x: Tensor, record: None = None) -> Tensor:
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        attention, _ = unit_rows(q * self.scale, k, self.alignment.view(-1, 1, 1))
        return self.proj((attention @ v).transpose(1, 2).reshape(batch, tokens, dim))


def seconds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least CPU time of each call, the calls taking turns, after one turn to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: min(values[1:]) for name, values in times.items()}


def attention_rows(tokens: int, batch: int, repeats: int) -> list[str]:
    """One attention layer of DeiT-S, forward and backward."""
    torch.manual_seed(0)
    x = torch.randn(batch, tokens, 384, requires_grad=True)
    layers = {
        "softmax, matrix formed": TextbookAttention(384, 6),
        "softmax, fused kernel": Attention(384, 6),
        "E-MHA, matrix formed": TextbookEmha(384, 6),
        "E-MHA, ours": ExplainableAttention(384, 6),
    }

    def step(layer: nn.Module) -> None:
        layer(x).sum().backward()

    found = seconds({name: lambda layer=layer: step(layer) for name, layer in layers.items()}, repeats)
    base = found["softmax, matrix formed"]
    return [f"| {tokens} | {name} | {1e3 * value:.1f} | {value / base:.2f} |" for name, value in found.items()]


def step_rows(name: str, side: int, batch: int, repeats: int) -> list[str]:
    """A whole training step: plain (L_global alone), siamese without and with a momentum branch."""
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, batch, 3, side, side, generator=generator)
    labels = torch.randint(0, 2, (batch, CLASSES), generator=generator).float()
    calls = {}
    for title, losses in (
        ("plain step: L_global", ["global"]),
        ("L_global + L_div", ["global", "div"]),
        ("siamese step: all losses", ["global", "dis", "div"]),
    ):
        torch.manual_seed(0)
        model, objective = create_model(name, CLASSES, img_size=side).train(), ExViTObjective(losses=losses)
        objective.bind(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        data = (views[0], views[1], labels) if objective.views == 2 else (views[0], labels)

        def step(model=model, objective=objective, optimizer=optimizer, data=data) -> None:
            loss, _ = objective(model, data)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            objective.after_step(model)

        calls[title] = step
    found = seconds(calls, repeats)
    base = found["plain step: L_global"]
    return [f"| {title} | {value:.2f} | {value / base:.2f} |" for title, value in found.items()]


def loss_rows(repeats: int) -> list[str]:
    """L_dis's pooling and L_div at full size, with and without the attribute features G formed."""
    torch.manual_seed(0)
    weights = torch.randn(4, 8, 14, 14, requires_grad=True)
    features = torch.randn(4, 384, 14, 14, requires_grad=True)

    def formed_pooling() -> None:
        given = weights.unsqueeze(2) * features.unsqueeze(1)
        given.clamp(min=1e-6).pow(3).mean((3, 4)).pow(1 / 3).sum().backward()

    def formed_diversity() -> None:
        given = nn.functional.normalize((weights.unsqueeze(2) * features.unsqueeze(1)).flatten(2), dim=2)
        cosines = given @ given.transpose(1, 2)
        ((cosines.sum((1, 2)) - 8) / 56).mean().backward()

    pairs = {
        "generalised mean of G": (formed_pooling, lambda: pooled_attributes(weights, features).sum().backward()),
        "diversity": (formed_diversity, lambda: diversity(weights, features).backward()),
    }
    rows = []
    for name, (formed, ours) in pairs.items():
        found = seconds({"formed": formed, "ours": ours}, repeats)
        ratio = found["formed"] / found["ours"]
        rows.append(f"| {name} | {1e3 * found['formed']:.1f} | {1e3 * found['ours']:.1f} | {ratio:.1f}x |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="exvit_small", help="exvit_small or exvit_tiny")
    parser.add_argument("--side", type=int, default=224, help="of the images of a training step")
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| tokens | attention layer, forward + backward | ms | of the softmax that forms its matrix |")
    print("| --- | --- | --- | --- |")
    for tokens in (144, 196, 576):
        print("\n".join(attention_rows(tokens, arguments.batch, arguments.repeats)))
    print("\n| loss, forward + backward | G formed (ms) | ours (ms) | gain |\n| --- | --- | --- | --- |")
    print("\n".join(loss_rows(arguments.repeats)))
    print(f"\n| {arguments.model} at {arguments.side}, batch {arguments.batch} | s | of the plain step |")
    print("| --- | --- | --- |")
    print("\n".join(step_rows(arguments.model, arguments.side, arguments.batch, arguments.repeats)))


if __name__ == "__main__":
    main()
