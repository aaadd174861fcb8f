"""Parameters of masks for your own images: the section `own`."""

from seedbed.params.base import Section


class OwnData(Section):
    """The pipeline that makes masks for your own images."""

    model: str
    explainer: str
    refiner: str
