"""One image of what the masks of a split are like: best, worst and a sample, and which colour is which class."""

from collections.abc import Mapping, Sequence

import numpy as np

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.evaluate.scoring import ground_truth
from seedbed.io.masks import VOID, voc_palette
from seedbed.report.drawing import draw_grid, overlay_mask
from seedbed.report.gallery import choose
from seedbed.report.selection import Scores, matrices_of_masks, pick

SHOWN = 6
"""Images of the sample where nothing tells good masks from bad ones."""
OF_EACH = 2
"""Best images, worst ones, and ones of the sample, where ground truth does."""


def draw_overview(index: DataIndex, records: Sequence[Record], masks: Mapping[str, np.ndarray]) -> bytes:
    """Return a PNG: a row an image with its mask, and its ground truth where there is some.

    With ground truth the best and the worst are shown, by the mIoU of one image over the classes that it or its mask
    shows, and a sample of the others; without, a sample. The legend has the classes that masks or truth show there.

    Args:
        index: the data set.
        records: the images.
        masks: uint8 [H, W] of each image's size, by image id.
    """
    judged = [record for record in records if record.mask]
    scores = Scores("mask", matrices_of_masks(masks, index, judged))
    chosen = pick(scores, OF_EACH)
    others = [record for record in judged or records if record.image not in chosen]
    named = {**chosen, **{record.image: "sample" for record in choose(others, OF_EACH if chosen else SHOWN)}}
    known = {record.image: record for record in records}
    order = sorted(named, key=lambda image: ("best", "worst", "sample").index(named[image]))

    rows, labels, shown = [], [], set()
    for image in order:
        record = known[image]
        photo = read_picture(index.root / record.path)
        layers = [masks[image], *([ground_truth(index, record)] if judged else [])]
        rows.append([photo, *(overlay_mask(photo, layer) for layer in layers)])
        shown |= {int(value) for layer in layers for value in np.unique(layer)}
        score = f"\nmIoU {100 * scores.miou(image):.1f} %" if image in scores.matrices else ""
        labels.append(f"{named[image]}: {image}{score}")
    titles = ["image", "mask", *(["ground truth"] if judged else [])]
    return draw_grid(rows, titles, labels, colours=class_colours(index.classes, shown))


def class_colours(classes: Sequence[str], values: set[int]) -> dict[str, tuple[int, int, int]]:
    """Name -> colour of the values that masks show; background is the darkened image, void is white."""
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    found = {}
    for k, name in enumerate(classes, 1):
        if k in values:
            red, green, blue = map(int, palette[k])
            found[name] = (red, green, blue)
    return {**found, "void": (255, 255, 255)} if VOID in values else found
