"""Parameters of scores: the section `scoring`."""

from pydantic import Field

from seedbed.params.base import MiouConvention, Positive, Section


class Scoring(Section):
    """How masks are scored."""

    miou: MiouConvention = Field("all_classes", description="over which classes the mean is taken")
    sweep_step: float = Field(0.01, gt=0, lt=1)
    sweep_count: Positive = 60
