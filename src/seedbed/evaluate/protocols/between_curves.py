"""Area between the curves of the label's probability, least and most relevant pixels first (AGCAM, table 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from seedbed.evaluate.measurements import Counts, Measurement, explains_target, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


@measurement("abpc", yields="lerf morf abpc curve_lerf curve_morf", input_size=True, single_label=True)
class BetweenCurves(Measurement):
    """Both curves of one class.

    Args:
        explained: ``target`` (as published), the image's label, or ``predicted``.
        copies_at_once: erased copies in one forward pass.
        **options: those of `AreaBetweenCurves`.
    """

    def __init__(
        self, *, explained: Literal["predicted", "target"] = "target", copies_at_once: int = 32, **options: Any
    ) -> None:
        from seedbed.evaluate.perturbation import AreaBetweenCurves

        self.target, self.test = explains_target(explained), AreaBetweenCurves(**options)
        self.copies_at_once = copies_at_once

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test = setting.counter(self.test)
        more: dict[str, Any] = {"copies_at_once": self.copies_at_once, **setting.statistics()}
        for batch in setting.batches():
            labels = setting.labels(batch)
            classes = labels if self.target else setting.logits(batch).argmax(1)
            maps = setting.maps(batch.inputs, classes[:, None])[:, 0]
            test.update(setting.model, batch.images, maps, labels.cpu(), **more)
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.perturbation import AreaBetweenCurves

        return merge_counts(AreaBetweenCurves, shards)
