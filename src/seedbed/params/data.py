"""Parameters of data sets and of pretrained weights."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seedbed.io.registrations import registered_names, registrations
from seedbed.params.base import InputPath, Positive, Section, Seed, UserPath


class Shapes(Section):
    """The built-in data set; see ``seedbed.data.shapes.make_shapes``."""

    kind: Literal["shapes"]
    seed: Seed
    size: Positive
    train: Positive
    trainaug: Positive
    val: int = Field(ge=0)
    test: int = Field(0, ge=0, description="held-out images under the name `test`, for data sets that split so")
    single_object: bool = False

    @model_validator(mode="after")
    def _nested(self) -> "Shapes":
        if self.train > self.trainaug:
            raise ValueError("train is the first part of trainaug and cannot exceed it")
        return self

    def lacks_test(self) -> str | None:
        """What to set so that there are test images; None if there are."""
        return None if self.test else "test=<how many>"

    def splits(self) -> tuple[str, ...]:
        """Splits that it may have."""
        return ("train", "trainaug", "val", "test")

    def offers(self, what: str) -> bool:
        """Whether each image has ``boxes``, a mask (``masks``), exactly one label (``single_label``)."""
        return what in ("boxes", "masks") or self.single_object

    def one_train(self) -> bool:
        """Whether ``train`` and ``trainaug`` are the same images."""
        return self.train == self.trainaug

    def train_inside(self) -> bool:
        """Whether ``train`` is a part of ``trainaug``."""
        return self.train < self.trainaug


class Folder(Section):
    """Your own images: images/, labels.csv, classes.txt and optional masks/ under ``path``."""

    kind: Literal["folder"]
    path: UserPath
    longest_side: Positive | None = Field(
        None, description="work on copies of at most so many pixels a side; null: on the images as they are"
    )

    def lacks_test(self) -> str | None:
        """None: the folder's own list names its splits."""
        return None

    def splits(self) -> None:
        """None: the folder's own list names them."""
        return

    def offers(self, what: str) -> bool | None:
        """None: only the folder knows."""
        return None

    def one_train(self) -> None:
        """None: only the folder knows."""
        return

    def train_inside(self) -> bool:
        """False: nobody says that a list of yours holds all of another."""
        return False


class ImagenetFolder(Section):
    """Photographs of ImageNet, one class each: images/ and classes.csv; see ``seedbed.data.imagenet_folder``."""

    kind: Literal["imagenet_folder"]
    path: UserPath

    def lacks_test(self) -> str:
        """Nobody has test images in this layout."""
        return "nothing: it has no test images"

    def splits(self) -> tuple[str, ...]:
        """``val``, and parts of it."""
        return ("val", "tenth", "fiftieth")

    def offers(self, what: str) -> bool:
        """Exactly one label an image (``single_label``), neither boxes nor masks."""
        return what == "single_label"

    def one_train(self) -> bool:
        """False: nothing is trained on it."""
        return False

    def train_inside(self) -> bool:
        """False: nothing is trained on it."""
        return False


PUBLISHED = ("seedbed.data.published", "published")
"""Where published data sets register themselves, with what they hold."""


class Published(Section):
    """A published data set; its files stand in the table of sources."""

    kind: Literal[registered_names(*PUBLISHED)]  # type: ignore[valid-type]
    path: InputPath | None = Field(
        None, description="folder that already holds its files, packed or unpacked; else fetched"
    )
    optional: list[str] = Field([], description="optional files of the table of sources that are wanted as well")
    options: dict[str, Any] = Field({}, description="of the function that prepares it, such as expected counts")

    def lacks_test(self) -> str | None:
        """What to set so that there are test images; None if there are, or if none are published apart."""
        needed = self._declared("test")
        lacking = needed and needed not in self.optional
        return f"optional={[*self.optional, needed]}".replace("'", "") if lacking else None

    def splits(self) -> tuple[str, ...]:
        """Splits that it may have."""
        return tuple(self._declared("splits").split())

    def offers(self, what: str) -> bool:
        """Whether each image of its usual splits has ``boxes``, ``masks``, or exactly one label (``single_label``)."""
        return what in self._declared("offers").split()

    def one_train(self) -> bool:
        """Whether ``train`` and ``trainaug`` are the same images."""
        return bool(self._declared("one_train"))

    def train_inside(self) -> bool:
        """Whether ``train`` is a part of ``trainaug``."""
        return bool(self._declared("train_inside"))

    def _declared(self, what: str) -> Any:
        (entry,) = registrations(*PUBLISHED)[self.kind]
        return entry.keywords.get(what, "")


Dataset = Annotated[Shapes | Folder | ImagenetFolder | Published, Field(discriminator="kind")]


class ShippedWeights(Section):
    """Weights in this repository; the target ``rebuild_weights`` trains them anew and compares."""

    kind: Literal["shipped"]
    file: str
    recipe: str = Field(description="name in `models` of the training that makes them from nothing")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class TimmWeights(Section):
    """Weights that timm publishes, by ``architecture.tag``."""

    kind: Literal["timm"]
    tag: str


class FetchedWeights(Section):
    """Published weights named in the table of sources, or a file of your own at ``path``."""

    kind: Literal["fetched"]
    source: str
    path: InputPath | None = Field(None, description="where the file already lies; fetched when null")


Weights = Annotated[ShippedWeights | TimmWeights | FetchedWeights, Field(discriminator="kind")]
