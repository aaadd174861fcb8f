"""Predictions packed as PASCAL VOC's evaluation server takes them."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.errors import DataError
from seedbed.io.atomic import atomic_path
from seedbed.io.masks import encode_mask

FOLDER = "results/VOC2012/Segmentation/comp6_{split}_cls"
"""Where the server looks; competition 6 allows training on other images, as pretrained networks have."""


def write_submission(
    path: str | Path, masks: Mapping[str, np.ndarray], sizes: Mapping[str, tuple[int, int]], split: str, labels: int
) -> dict[str, Any]:
    """Write a ``.tgz`` of palette PNGs, whole or not at all; the same masks give the same bytes.

    Args:
        path: the archive.
        masks: predictions by image id, uint8 [H, W].
        sizes: (height, width) of every image of the split, by image id.
        split: ``test``, or ``val``.
        labels: number of labels, background included; a prediction holds 0 .. labels - 1 (the server knows no void).

    Returns:
        ``folder`` within the archive, ``images``, ``sha256`` of the archive.

    Raises:
        DataError: an image has no mask, or one of another size or with another label; nothing is written then.
    """
    folder = FOLDER.format(split=split)
    with atomic_path(path) as temporary:
        with (
            temporary.open("wb") as stream,
            gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for image, size in sorted(sizes.items()):
                content = encode_mask(_checked(f"{path}: the prediction of '{image}'", masks[image], size, labels))
                member = tarfile.TarInfo(f"{folder}/{image}.png")  # owner and time stay 0
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        digest = sha256(temporary.read_bytes()).hexdigest()
    return {"folder": folder, "images": len(sizes), "sha256": digest}


def _checked(what: str, mask: np.ndarray, size: tuple[int, int], labels: int) -> np.ndarray:
    if mask.shape != size:
        found, wanted = (" x ".join(map(str, sides)) for sides in (mask.shape, size))
        raise DataError(f"{what} is {found}, its image {wanted}. Predict the split anew.")
    if mask.max() >= labels:
        raise DataError(f"{what} holds label {mask.max()}; it may hold 0..{labels - 1}.")
    return mask
