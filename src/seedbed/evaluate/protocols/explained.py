"""The measurements of tables 2-3 of [Re] and 1-4 of AGCAM."""

import numpy as np
import torch
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.evaluate.localization import BoxLocalization, scale_boxes
from seedbed.evaluate.perturbation import AreaBetweenCurves, PerturbationTest
from seedbed.evaluate.protocols.setting import Counts, Setting
from seedbed.evaluate.scoring import ground_truth
from seedbed.evaluate.soft_segmentation import SoftSegmentation

EXPLAINED = ("predicted", "target")


def soft_segmentation(setting: Setting) -> Counts:
    """Maps as soft segmentations of the foreground (Chefer et al.; [Re], table 3).

    Option ``explained``: ``predicted`` (as published) or ``target``, the picture's label.
    """
    options = dict(setting.options)
    target = _explains_target(options, default="predicted")
    test = setting.counter(SoftSegmentation, setting.begun, **options)
    for batch in setting.batches():
        classes = setting.labels(batch) if target else setting.logits(batch).argmax(1)
        maps = setting.maps(batch.inputs, classes[:, None])[:, 0]
        for record, heat in zip(batch.records, maps.cpu().numpy(), strict=True):
            test.update(heat, _foreground(setting.index, record, heat.shape))
    return test.to_dict()


def localization(setting: Setting) -> Counts:
    """Boxes around the map against true boxes (AGCAM, tables 1-3).

    Option ``explained``: ``predicted`` (as published) or ``target``; they differ where wrong predictions are scored.
    """
    options = dict(setting.options)
    target = _explains_target(options, default="predicted")
    test = setting.counter(BoxLocalization, setting.begun, **options)
    for batch in setting.batches():
        predicted = setting.logits(batch).argmax(1)
        classes = setting.labels(batch) if target else predicted
        maps = setting.maps(batch.inputs, classes[:, None])[:, 0].cpu().numpy()
        for record, heat, guess in zip(batch.records, maps, predicted.tolist(), strict=True):
            boxes = scale_boxes(_boxes(setting.index, record), record.size, heat.shape)
            boxes = np.minimum(boxes, np.array(heat.shape)[[1, 0, 1, 0]])  # some published ones leave their pictures
            test.update(heat, boxes, label=setting.label(record), predicted=guess)
    return test.to_dict()


def abpc(setting: Setting) -> Counts:
    """Area between the curves of the label's probability, least and most relevant pixels first (AGCAM, table 4).

    Option ``explained``: ``target`` (as published), the picture's label, or ``predicted``.
    """
    options = dict(setting.options)
    target = _explains_target(options, default="target")
    more = {"copies_at_once": options.pop("copies_at_once", 32), **setting.statistics()}
    test = setting.counter(AreaBetweenCurves, setting.begun, **options)
    for batch in setting.batches():
        labels = setting.labels(batch)
        classes = labels if target else setting.logits(batch).argmax(1)
        maps = setting.maps(batch.inputs, classes[:, None])[:, 0]
        test.update(setting.model, batch.pictures, maps, labels.cpu(), **more)
    return test.to_dict()


def perturbation(setting: Setting) -> Counts:
    """Accuracy while pixels are erased in order of relevance, for predicted and target class ([Re], table 2)."""
    options = dict(setting.options)
    more = {"copies_at_once": options.pop("copies_at_once", 32), **setting.statistics()}
    begun = setting.begun or dict.fromkeys(EXPLAINED)
    tests = {name: setting.counter(PerturbationTest, begun[name], **options) for name in EXPLAINED}
    for batch in setting.batches():
        labels = setting.labels(batch)
        maps = setting.maps(batch.inputs, torch.stack([setting.logits(batch).argmax(1), labels], dim=1))
        for position, test in enumerate(tests.values()):
            test.update(setting.model, batch.pictures, maps[:, position], labels.cpu(), **more)
    return {explained: test.to_dict() for explained, test in tests.items()}


def _explains_target(options: dict[str, object], default: str) -> bool:
    """Take ``explained`` out of a protocol's options: whether maps are of the label instead of the prediction."""
    explained = options.pop("explained", default)
    if explained not in EXPLAINED:
        raise ParameterError(unknown_name("class to explain", str(explained), EXPLAINED))
    return explained == "target"


def _boxes(index: DataIndex, record: Record) -> list[tuple[int, int, int, int]]:
    if not record.boxes:
        raise DataError(f"{index.root}: image '{record.image}' has no box, so it cannot be localised.")
    return [(box.xmin, box.ymin, box.xmax, box.ymax) for box in record.boxes]


def _foreground(index: DataIndex, record: Record, size: tuple[int, ...]) -> np.ndarray:
    """Ground truth at the map's size by nearest neighbour: 1 foreground, 0 background, -1 void."""
    height, width = size
    mask = Image.fromarray(ground_truth(index, record)).resize((width, height), Image.Resampling.NEAREST)
    labels = np.asarray(mask)
    return np.where(labels == 255, -1, (labels > 0).astype(np.int64))
