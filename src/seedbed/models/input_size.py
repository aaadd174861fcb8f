"""Images of a size for which a network's positions are not, and which nothing in the network would notice."""

from typing import Any

from timm.layers import HybridEmbed


def misplaced(model: Any, size: tuple[int, int]) -> str | None:
    """Say why positions would lie wrongly on images of ``size`` (height, width); None if they do not.

    timm's plain Vision Transformers refuse other sizes themselves. Its hybrids take all that have as many patches:
    96 x 96 pixels where the table is for 64 x 144.
    """
    embed = getattr(model, "patch_embed", None)
    if not isinstance(embed, HybridEmbed) or not embed.strict_img_size or getattr(model, "dynamic_img_size", False):
        return None
    pixels = embed.feat_ratio(as_scalar=False)
    axes = zip(size, pixels, embed.grid_size, strict=True)  # type: ignore[arg-type]  # two of each
    if all(cells in (side // a_patch, -(-side // a_patch)) for side, a_patch, cells in axes):
        return None
    (height, width), (own_height, own_width) = size, embed.img_size
    return f"its positions are for images of {own_height} x {own_width} pixels, not of {height} x {width}"
