"""Training an image tower against texts that stay as they are: what its maps need to know before CLIP-ES reads them.

Ours. It stands in for CLIP's pretraining where no CLIP is small enough, so that the demo can run what needs one.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.clip_classifier import ClipClassifier
from seedbed.train.backbone_losses import check_network
from seedbed.train.objectives import Parts, added, loss


@loss("text_softmax")
class TextSoftmax:
    """Cross entropy of a softmax over all texts, with the present classes' texts as equally likely answers.

    A batch is ``(images, multi-hot labels)``. An image speaks twice: by its class token, which the network's logits are
    of, and by the mean over its patches, which Softmax-GradCAM asks for. One without any class answers with the
    background texts.
    """

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, ClipClassifier)

    def __call__(self, model: ClipClassifier, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, ``class`` and ``patches``."""
        images, labels = batch
        answers, texts = text_answers(labels, len(model.background)), model.texts.all
        parts = {
            name: F.cross_entropy(model.scores(embedding, texts).float(), answers)
            for name, embedding in zip(("class", "patches"), model.embeddings(images), strict=True)
        }
        return added(parts), {name: part.detach() for name, part in parts.items()}


def text_answers(labels: Tensor, background: int) -> Tensor:
    """How likely each text is for an image: [B, C + n], rows sum to 1.

    Args:
        labels: [B, C], non-zero where a class is present.
        background: n, how many texts stand for what is no class; with none, images without a class have zeros.
    """
    present = F.pad((labels > 0).float(), (0, background))
    present[:, labels.shape[1] :] = (present.sum(1, keepdim=True) == 0).float()
    return present / present.sum(1, keepdim=True).clamp(min=1)
