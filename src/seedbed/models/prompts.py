"""From class names to texts: sentences encoded by CLIP's text tower, or fixed vectors that stand in for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from seedbed.data.raw.lock import DataLock, Pin
from seedbed.errors import DataError, ParameterError, missing_extra, unknown_name
from seedbed.io.plain import from_plain
from seedbed.io.weights import weights_pin
from seedbed.models.text_attributes import clustered, with_attributes
from seedbed.models.texts import Texts, unit

Tokenizer = Callable[[list[str]], Tensor]
AT_ONCE = 64


class TextTower(Protocol):
    """What encodes tokens, as open_clip's networks do."""

    def encode_text(self, text: Tensor) -> Tensor:
        """Embed tokens [n, 77]: [n, E], not of unit length."""


@dataclass(frozen=True)
class Attributes:
    """Sentences about the classes, whose clusters are mixed into them; see `seedbed.models.text_attributes`.

    Attributes:
        file: a text file, one sentence a line; empty lines do not count.
        clusters: how many attributes the sentences make.
        as_published: see `with_attributes`.
    """

    file: str
    clusters: int = 112
    as_published: bool = False

    def sentences(self) -> list[str]:
        """The sentences of the file.

        Raises:
            DataError: it cannot be read, or holds none.
        """
        try:
            lines = [line.strip() for line in Path(self.file).read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.file}: cannot be read ({error}). Give a text file, one sentence a line.") from error
        if not any(lines):
            raise DataError(f"{self.file}: holds no sentence. Write one a line, about 20 for each class.")
        return [line for line in lines if line]


@dataclass(frozen=True)
class OpenClip:
    """Sentences, and the network of open_clip that encodes them.

    Attributes:
        network, pretrained: open_clip's names, such as ViT-B-16-quickgelu and openai. OpenAI's weights need the name
            that ends in quickgelu.
        templates: sentences with {} where a word goes. A word's vector is the mean of its sentences', each of unit
            length, brought to unit length again.
        names: what is written for a class in place of its name.
        background: words for what no class stands for.
        attributes: what is mixed into the classes; None: nothing, class names alone.
    """

    network: str
    pretrained: str
    templates: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    background: Sequence[str] = ()
    attributes: Attributes | None = None

    def texts(self, classes: Sequence[str], lock: str) -> Texts:
        """Encode the classes' names and the background; the network's weights are held to the lock of data.

        Raises:
            UserError: open_clip is not installed.
            ParameterError: the network, its weights or a class of ``names`` is unknown, or a template has no {}.
            DataError: the weights cannot be fetched, or are not those that the lock recorded.
        """
        words = written(classes, self.names)
        require_templates(self.templates)
        tower, tokenizer = _open_clip(self.network, self.pretrained, lock)
        encoded = encode_words(tower, tokenizer, [*words, *self.background], self.templates)
        texts = Texts(*encoded.split([len(words), len(self.background)]))
        return texts if self.attributes is None else enriched(texts, self.attributes, tower, tokenizer)


@dataclass(frozen=True)
class UnitVectors:
    """Random unit vectors, the same for the same seed: texts for networks that learn what they stand for.

    Attributes:
        dim: their length.
        background: how many stand for what is no class.
        seed: of the generator.
    """

    dim: int
    background: int
    seed: int = 0

    def texts(self, classes: Sequence[str], lock: str) -> Texts:
        """Draw a vector for each class and each background word; nothing is fetched."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = unit(torch.randn(len(classes) + self.background, self.dim, generator=generator))
        return Texts(*drawn.split([len(classes), self.background]))


KINDS: dict[str, Any] = {"open_clip": OpenClip, "unit_vectors": UnitVectors}


def make_texts(values: Mapping[str, Any], classes: Sequence[str], lock: str) -> Texts:
    """Texts of the classes, as plain values with a ``kind`` describe them.

    Args:
        values: an entry of `prompts`.
        classes: names of a data set's classes, in order.
        lock: the lock of data.

    Raises:
        ParameterError: the kind is unknown; or as the kind's own ``texts``.
    """
    if values["kind"] not in KINDS:
        raise ParameterError(unknown_name("kind of prompts", values["kind"], KINDS))
    return from_plain(KINDS[values["kind"]], values).texts(classes, lock)


def written(classes: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """What is written for each class: what ``names`` says, else its name with blanks for underscores.

    Raises:
        ParameterError: something is written for a class that does not exist.
    """
    for name in names:
        if name not in classes:
            raise ParameterError(f"prompts.names: {unknown_name('class', name, classes)}")
    return [names.get(name, name.replace("_", " ")) for name in classes]


def require_templates(templates: Sequence[str]) -> None:
    """Refuse an empty list, and sentences without a place for the word.

    Raises:
        ParameterError: naming the sentence.
    """
    if not templates or any("{}" not in template for template in templates):
        raise ParameterError(f"prompts.templates: need one or more, each with {{}} for a word: {list(templates)}.")


@torch.no_grad()
def encode_words(tower: TextTower, tokenizer: Tokenizer, words: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Encode words in sentences: float32 [n, E] of unit length (Radford et al. 2021, section 3.1.4).

    Args:
        tower: a network of open_clip.
        tokenizer: from sentences to tokens [n, 77].
        words: n of them.
        templates: with {} where a word goes; the mean over them is taken of unit vectors.
    """
    sentences = [template.format(word) for word in words for template in templates]
    runs = [sentences[start : start + AT_ONCE] for start in range(0, len(sentences), AT_ONCE)]
    encoded = unit(torch.cat([tower.encode_text(tokenizer(run)).float() for run in runs]))
    return unit(encoded.unflatten(0, (len(words), len(templates))).mean(1))


def enriched(texts: Texts, attributes: Attributes, tower: TextTower, tokenizer: Tokenizer) -> Texts:
    """Texts whose classes have attributes mixed in (ExCEL); the background stays.

    Raises:
        DataError: as `Attributes.sentences` and `clustered`; or so few attributes that the published count is NaN.
    """
    sentences = encode_words(tower, tokenizer, attributes.sentences(), ["{}"])
    found = with_attributes(
        texts.classes, clustered(sentences, attributes.clusters), as_published=attributes.as_published
    )
    if not found.isfinite().all():
        raise DataError(
            f"{attributes.clusters} attributes are too few for as_published, which leaves all of them out: "
            "set as_published: false, or more clusters."
        )
    return Texts(found, texts.background)


def _open_clip(network: str, pretrained: str, lock: str) -> tuple[Any, Tokenizer]:
    """A network of open_clip with its published weights, and its tokenizer."""
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise missing_extra("Encoding prompts", "text", error) from None
    if network not in (networks := open_clip.list_models()):
        raise ParameterError(f"prompts.network: {unknown_name('network of open_clip', network, networks)}")
    known = open_clip.list_pretrained_tags_by_model(network)
    if pretrained not in known:
        raise ParameterError(f"prompts.pretrained: {unknown_name(f'weights of {network}', pretrained, known)}")
    try:
        model = open_clip.create_model(network, pretrained=pretrained).eval()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"open_clip's weights '{pretrained}' of {network} cannot be fetched: {error}. Check the network and rerun."
        ) from error
    text = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("visual.")}
    DataLock(lock).hold(f"open_clip/{network}/{pretrained}", Pin(pretrained, *weights_pin(text)))
    return model, open_clip.get_tokenizer(network)
