"""Explanations as instances, scored by COCO's average precision and recall (eX-ViT, table 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from seedbed.evaluate.measurements import Counts, Measurement, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.data.index import DataIndex, Record
    from seedbed.evaluate.instance_regions import Instance
    from seedbed.evaluate.protocols.setting import Setting


@measurement("instances", yields="ap ap_medium ap_large ar ar_medium ar_large", masks=True)
class FoundInstances(Measurement):
    """Connected regions of each present class's map, weighted by the class's probability, against true instances.

    COCO's images are scored against COCO's annotations, others against the regions of their masks that their boxes
    part.

    Args:
        **options: those of `InstanceScores`.
    """

    def __init__(self, **options: Any) -> None:
        from seedbed.evaluate.coco import InstanceScores

        self.test = InstanceScores(**options)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test = setting.counter(self.test)
        from seedbed.evaluate.classification import predict_scores
        from seedbed.explain.dataset_maps import picture_heatmaps

        truth = _truth_of(setting.index)
        records, view = list(setting.records), setting.explainer.input
        shown = (setting.model, setting.index, records)
        scores = predict_scores(*shown, view, setting.device, setting.block or 32)
        whole = replace(setting.explainer, store_stride=1)  # nothing is stored here
        maps = picture_heatmaps(*shown, whole, setting.device, setting.block)
        for record, probabilities, (image, heat) in zip(records, scores.sigmoid(), maps, strict=True):
            classes = heat.classes.tolist()
            test.update(image, heat.maps, classes, probabilities[classes].tolist(), truth(record))
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        from seedbed.evaluate.coco import InstanceScores

        return merge_counts(InstanceScores, shards)

    @classmethod
    def describe(cls, options: Mapping[str, Any]) -> str:
        """See `Measurement`."""
        whole, first = options.get("whole_maps", False), options.get("first_iou", 0.5)
        regions = "all of each present class's map above Otsu's threshold as one instance"
        if not whole:
            regions = "connected regions of each present class's map above Otsu's threshold as instances"
        areas = ""
        if "medium" in options:
            areas = ", objects of {:g} to {:g} pixels medium".format(*options["medium"])
        return (
            f"{regions}, scored by mean relevance times the class's probability, no CRF; "
            f"overlap {first:g} to 0.95 in steps of 0.05, at most 100 instances a class and image{areas}"
        )


def _truth_of(index: DataIndex) -> Callable[[Record], list[Instance]]:
    from seedbed.data.coco_annotations import read_instances
    from seedbed.data.published.coco14 import CATEGORY_IDS, image_id, instances_file
    from seedbed.evaluate.instance_regions import coco_instances, mask_instances
    from seedbed.evaluate.scoring import ground_truth

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
