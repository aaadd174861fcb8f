"""Accuracy while pixels are erased in order of relevance, for predicted and target class ([Re], table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import EXPLAINED, Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from torch import Tensor

    from seedbed.evaluate.protocols.setting import Setting


@measurement(
    "perturbation",
    yields="images_* undefined_maps_* accuracy_* auc_positive_* auc_negative_* curve_* probability_difference_* "
    "logit_difference_* log_ratio_*",
    input_size=True,
    single_label=True,
)
class ErasedPixels(Measurement):
    """Both orders for both classes; metrics end in ``_predicted`` and ``_target``.

    Args:
        copies_at_once: erased copies in one forward pass.
        **options: those of `PerturbationTest`.
    """

    def __init__(self, *, copies_at_once: int = 32, **options: Any) -> None:
        from seedbed.evaluate.perturbation import PerturbationTest

        self.tests = {"predicted": PerturbationTest(**options), "target": PerturbationTest(**options)}
        self.copies_at_once = copies_at_once

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        import torch

        tests = {name: setting.counter(test, name) for name, test in self.tests.items()}
        more: dict[str, Any] = {"copies_at_once": self.copies_at_once, **setting.statistics()}
        for batch in setting.batches():
            labels = setting.labels(batch)
            maps = setting.maps(batch.inputs, torch.stack([setting.logits(batch).argmax(1), labels], dim=1))
            predicted, target = maps.unbind(1)
            found = tests["predicted"].update(setting.model, batch.images, predicted, labels.cpu(), **more)
            # Most predictions are right, and some methods know no classes: the same map erases the same pixels.
            alike, undefined = _alike(predicted, target), predicted.isnan().flatten(1).any(1)
            kept = alike[~undefined] if tests["predicted"].undefined == "skip" else alike
            again = {name: values[..., kept.cpu().numpy()] for name, values in found.items()}
            tests["target"].add(again, int(undefined[alike].sum()))
            if not alike.all():
                others = batch.images[~alike], target[~alike], labels[~alike].cpu()
                tests["target"].update(setting.model, *others, **more)
        return {explained: test.to_dict() for explained, test in tests.items()}

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.perturbation import PerturbationTest

        merged: dict[str, Any] = {}
        for explained in EXPLAINED:
            result = merge_counts(PerturbationTest, [shard[explained] for shard in shards])
            merged |= {f"{key}_{explained}": value for key, value in result.items()}
        return merged


def _alike(one: Tensor, other: Tensor) -> Tensor:
    """Which images have the same map [B, H, W] in both, NaN being like NaN: bool [B]."""
    return ((one == other) | (one.isnan() & other.isnan())).flatten(1).all(1)
