"""AFA's class activation maps: its classifier, which reads the largest of each channel, applied place by place."""

from torch import Tensor, nn

from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import of_classes, resolve
from seedbed.models.afa import AFA


def not_an_afa(model: nn.Module) -> str | None:
    """Say why ``model`` is not AFA; None if it is."""
    return None if isinstance(model, AFA) else "it is not AFA"


@explainer("cam", needs=not_an_afa)
def cam_of_afa(model: AFA, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w], signed: the classifier, which has no bias, applied to the last features (Ru et al. 2022).

    Args:
        model: AFA.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
    """
    twin = evaluated(model, hooks=True)
    last, _ = twin.last(twin.early(images)[-1], affine=False)
    return of_classes(twin.classifier(last), resolve(targets, twin.classified(last)))
