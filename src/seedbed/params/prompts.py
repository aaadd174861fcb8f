"""Parameters of texts: the section `prompts`."""

from typing import Annotated, Literal

from pydantic import Field

from seedbed.params.base import InputPath, Positive, Section, Seed, Varied


class Attributes(Section):
    """Sentences of one's own about the classes, whose clusters are mixed into the classes' texts (ExCEL)."""

    file: InputPath = Field(description="a text file, one sentence a line")
    clusters: Positive = Field(112, description="attributes that the sentences are clustered to; COCO: 224")
    as_published: bool = Field(False, description="how many a class leaves out, see seedbed.models.text_attributes")


class OpenClipPrompts(Varied):
    """Sentences about each class, encoded by a text tower of open_clip (the extra `text`)."""

    kind: Literal["open_clip"]
    network: str = Field(description="open_clip's name; OpenAI's weights need the one that ends in quickgelu")
    pretrained: str = Field(description="open_clip's name of the weights")
    templates: list[str] = Field(min_length=1, description="sentences with {} where a word goes; their mean is taken")
    names: dict[str, str] = Field({}, description="class -> what is written in place of its name")
    background: list[str] = Field([], description="words for what no class stands for")
    attributes: Attributes | None = Field(None, description="null: class names alone")

    def background_texts(self) -> int:
        """How many texts stand for what is no class."""
        return len(self.background)

    def inputs(self) -> list[str]:
        """Files that the texts are made of."""
        return [self.attributes.file] if self.attributes else []


class UnitVectorPrompts(Varied):
    """Fixed random unit vectors in place of texts, for networks that learn what they stand for."""

    kind: Literal["unit_vectors"]
    dim: Positive = Field(description="their length")
    background: int = Field(ge=0, description="how many stand for what is no class")
    seed: Seed = 0

    def background_texts(self) -> int:
        """How many texts stand for what is no class."""
        return self.background

    def inputs(self) -> list[str]:
        """Files that the texts are made of: none."""
        return []


Prompts = Annotated[OpenClipPrompts | UnitVectorPrompts, Field(discriminator="kind")]
