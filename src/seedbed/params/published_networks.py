"""Networks that are trained here, or that somebody else trained."""

from typing import Any, Self

from pydantic import Field, model_validator

from seedbed.params.base import InputPath, Section, Varied


class Checkpoint(Section):
    """Weights that somebody else trained, to be measured in place of ours; its path alone will do."""

    path: InputPath
    dataset: str | None = Field(None, description="data set whose classes it knows; null: every one")
    layout: str = Field("checkpoint", description="how it names its tensors; see seedbed.models.weights.layouts")
    drop: list[str] = Field([], description="modules of the file that the network has not, on purpose")
    subtree: str = Field("", description="entry of the file, or module in it, that holds the network: student")

    @model_validator(mode="before")
    @classmethod
    def _of_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    def fits(self, dataset: str) -> bool:
        """Whether it stands in for the network on a data set."""
        return self.dataset in (None, dataset)


class Trained(Varied):
    """A network that is trained here, unless a published checkpoint of it is measured."""

    checkpoint: Checkpoint | None = None

    @model_validator(mode="after")
    def _normalised_once(self) -> Self:
        train: Any = getattr(self, "train", None)
        own: Any = getattr(self, "input", None)
        for step in train.augment if train and own else ():
            if step.get("normalize", "input") not in ("input", own.normalize):
                raise ValueError(
                    f"train.augment normalizes by '{step['normalize']}', but input.normalize is '{own.normalize}'; "
                    "write the step as normalize: input"
                )
        return self

    @model_validator(mode="after")
    def _checkpoint_for_all(self) -> Self:
        if any("checkpoint" in changes for changes in self.per_dataset.values()):
            raise ValueError("per_dataset: a checkpoint names its data set itself, checkpoint: {path: .., dataset: ..}")
        return self
