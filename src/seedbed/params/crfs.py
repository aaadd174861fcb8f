"""Parameters of dense CRFs: the section `crf`."""

from typing import Annotated, Literal

from pydantic import Field

from seedbed.settings.dense_crf import CrfSettings

Crf = CrfSettings

CrfPicture = Annotated[
    Literal["own", "rebuilt", "rebuilt_float64"],
    Field(
        description="what the CRF sees; rebuilt from normalised pixels, grey levels cut off: normalised in float32 "
        "(MCTformer's labels, TransCAM's segmentation), or in float64 (TransCAM's walk)"
    ),
]
