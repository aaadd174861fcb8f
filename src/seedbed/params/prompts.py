"""Parameters of texts: the section `prompts`."""

from typing import Annotated, Literal

from pydantic import Field

from seedbed.params.base import Positive, Seed, Varied


class OpenClipPrompts(Varied):
    """Sentences about each class, encoded by a text tower of open_clip (the extra `text`)."""

    kind: Literal["open_clip"]
    network: str = Field(description="open_clip's name; OpenAI's weights need the one that ends in quickgelu")
    pretrained: str = Field(description="open_clip's name of the weights")
    templates: list[str] = Field(min_length=1, description="sentences with {} where a word goes; their mean is taken")
    names: dict[str, str] = Field({}, description="class -> what is written in place of its name")
    background: list[str] = Field([], description="words for what no class stands for")

    def background_texts(self) -> int:
        """How many texts stand for what is no class."""
        return len(self.background)


class UnitVectorPrompts(Varied):
    """Fixed random unit vectors in place of texts, for networks that learn what they stand for."""

    kind: Literal["unit_vectors"]
    dim: Positive = Field(description="their length")
    background: int = Field(ge=0, description="how many stand for what is no class")
    seed: Seed = 0

    def background_texts(self) -> int:
        """How many texts stand for what is no class."""
        return self.background


Prompts = Annotated[OpenClipPrompts | UnitVectorPrompts, Field(discriminator="kind")]
