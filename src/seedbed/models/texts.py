"""Texts as a network sees them: unit vectors of the classes, and of words for what is none of them."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.io.weights import read_weights

TENSORS = ("classes", "background")


class Texts(NamedTuple):
    """Texts of one data set.

    Attributes:
        classes: float32 [C, E], of unit length, in the order of the data set's classes.
        background: float32 [n, E], of words that no class stands for; n may be 0.
    """

    classes: Tensor
    background: Tensor

    @property
    def all(self) -> Tensor:
        """[C + n, E]: the classes, then the background."""
        return torch.cat(self)


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., E] at unit length."""
    return F.normalize(vectors, dim=-1)


def read_texts(path: Path | str) -> Texts:
    """Read an artifact of texts.

    Raises:
        DataError: it cannot be read, or is none.
    """
    tensors = read_weights(path)
    if set(tensors) != set(TENSORS) or any(tensor.ndim != 2 for tensor in tensors.values()):
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise DataError(f"{path} holds no texts, which are two tables `classes` and `background`, but {found}.")
    return Texts(*(tensors[name].float() for name in TENSORS))


class WithTexts(nn.Module):
    """A network that compares images with texts, which are buffers of it and travel in its weights file.

    Until they are given they are random unit vectors, as other weights are random until they are loaded.

    Args:
        num_classes: classes of the data set.
        background_texts: how many texts stand for what is no class.
        dim: length of a text's vector.
    """

    classes: Tensor
    background: Tensor

    def __init__(self, num_classes: int, background_texts: int, dim: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("classes", unit(torch.randn(num_classes, dim)))
        self.register_buffer("background", unit(torch.randn(background_texts, dim)))

    @property
    def texts(self) -> Texts:
        return Texts(self.classes, self.background)

    def set_texts(self, texts: Texts) -> None:
        """Give the network its texts.

        Raises:
            DataError: they are not as many, or not as long, as the network has.
        """
        for name, given, own in zip(TENSORS, texts, self.texts, strict=True):
            if given.shape != own.shape:
                raise DataError(
                    f"The texts hold {tuple(given.shape)} of '{name}', and the network takes {tuple(own.shape)}. "
                    "Its option `background_texts` is the number of background words, `dim` the length of a vector; "
                    "its classes are those of the data set."
                )
            own.copy_(given)


def give_texts(model: Any, path: Path | str | None) -> None:
    """Give a network the texts in a file, where it takes some.

    Raises:
        ParameterError: the network takes texts and there is no file, or the reverse.
        DataError: as `read_texts` and `WithTexts.set_texts`.
    """
    takes = isinstance(model, WithTexts)
    if takes and path is None:
        raise ParameterError(
            f"A {type(model).__name__} compares images with texts; name an entry of `prompts` as its `texts`."
        )
    if path is not None and not takes:
        raise ParameterError(f"A {type(model).__name__} takes no texts; leave out its `texts`.")
    if path is not None:
        model.set_texts(read_texts(path))
