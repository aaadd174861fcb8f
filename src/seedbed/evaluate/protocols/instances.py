"""Explanations as instances, scored by COCO's average precision and recall (eX-ViT, table 4)."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from seedbed.data.coco import read_instances
from seedbed.data.index import DataIndex, Record
from seedbed.data.published.coco14 import CATEGORY_IDS, image_id, instances_file
from seedbed.evaluate.classification import predict_scores
from seedbed.evaluate.coco import InstanceScores
from seedbed.evaluate.instance_regions import Instance, coco_instances, mask_instances
from seedbed.evaluate.protocols.setting import Counts, Setting
from seedbed.evaluate.scoring import ground_truth
from seedbed.explain.pictures import picture_heatmaps


def instances(setting: Setting) -> Counts:
    """Connected regions of each present class's map, weighted by the class's probability, against true instances.

    COCO's pictures are scored against COCO's annotations, others against the regions of their masks that their boxes
    part.
    """
    options = dict(setting.options)
    test = InstanceScores(**options)
    truth = _truth_of(setting.index)
    records, device = list(setting.records), setting.device
    scores = predict_scores(setting.model, setting.index, records, setting.explainer.input, device, setting.block or 32)
    whole = replace(setting.explainer, store_stride=1)  # nothing is stored here
    maps = picture_heatmaps(setting.model, setting.index, records, whole, device, setting.block)
    for record, probabilities, (image, heat) in zip(records, scores.sigmoid(), maps, strict=True):
        classes = heat.classes.tolist()
        test.update(image, heat.maps, classes, probabilities[classes].tolist(), truth(record))
    return test.to_dict()


def _truth_of(index: DataIndex) -> Callable[[Record], list[Instance]]:
    def from_masks(record: Record) -> list[Instance]:
        boxes = [(index.class_index(box.label), box) for box in record.boxes] or None
        return mask_instances(ground_truth(index, record), boxes)

    if not instances_file(index.root, "val").is_file():
        return from_masks
    labels = {category: position for position, category in enumerate(CATEGORY_IDS)}

    @cache
    def annotated(split: str) -> dict:
        return {image.id: image for image in read_instances(instances_file(index.root, split)).images}

    def from_annotations(record: Record) -> list[Instance]:
        split = "val" if "val" in record.splits else "train"
        return coco_instances(annotated(split)[image_id(record.image)], labels)

    return from_annotations
