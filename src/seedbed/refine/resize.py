"""Heat maps at the size of their image."""

import numpy as np

from seedbed.io.heatmaps import HeatMaps


def at_picture_size(heat: HeatMaps) -> HeatMaps:
    """The maps enlarged to the image's size (bilinear, half-pixel centres); an undefined (NaN) map becomes 0."""
    maps = np.nan_to_num(heat.maps, nan=0.0)
    if maps.shape[-2:] != tuple(heat.size) and len(maps):
        import torch  # heavy, and most maps have their image's size already
        import torch.nn.functional as F

        maps = F.interpolate(torch.from_numpy(maps)[None], tuple(heat.size), mode="bilinear", align_corners=False)
        maps = maps[0].numpy()
    return heat._replace(maps=maps)
