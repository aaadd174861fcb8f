"""MS COCO 2014: 80 classes, the images that have an annotation, and semantic masks painted from the instances."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from seedbed.data.coco_annotations import CocoImage, CocoInstances, paint, read_instances
from seedbed.data.images import picture_size
from seedbed.data.index import DataIndex, Record, validate_records
from seedbed.data.published.catalogue import published
from seedbed.data.published.counts import require_counts
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import encode_mask
from seedbed.io.progress import progress

CLASSES = tuple(
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign "
    "parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie "
    "suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard "
    "tennis_racket bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot "
    "hot_dog pizza donut cake chair couch potted_plant bed dining_table toilet tv laptop mouse remote keyboard "
    "cell_phone microwave oven toaster sink refrigerator book clock vase scissors teddy_bear hair_drier "
    "toothbrush".split()
)
_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CATEGORY_IDS = tuple(number for number in range(1, 91) if number not in _UNUSED_IDS)
"""COCO's own id of each class: ``CATEGORY_IDS[k]`` belongs to ``CLASSES[k]`` and to value ``k + 1`` of the masks."""

IMAGES = {"train": "raw/coco14_train/train2014", "val": "raw/coco14_val/val2014"}
INSTANCES = {split: f"raw/coco14_annotations/annotations/instances_{split}2014.json" for split in IMAGES}
MASKS = "SemanticMasks"
SPLITS = {"train": ("train", "trainaug"), "val": ("val",)}
EXPECTED = MappingProxyType({"train": 82081, "trainaug": 82081, "val": 40137})


@published("coco14", splits="train trainaug val", offers="boxes masks", one_train=True)
def prepare_coco14(
    root: str | Path, *, expected: Mapping[str, int] = EXPECTED, workers: int | None = None
) -> DataIndex:
    """Index COCO 2014 below ``root/raw``, and paint its masks to ``root/SemanticMasks`` as palette PNGs.

    Images without any annotation are left out, as in the papers' lists. Labels are the categories that occur, those
    of crowds too, though masks show crowds as void. ``train`` is also ``trainaug``, on which networks train.

    Args:
        root: the data set's folder.
        expected: images of each split.
        workers: processes that paint; None takes all processors.

    Raises:
        DataError: a raw file is missing or damaged, or a split has another number of images.
    """
    root = Path(root)
    records: list[Record] = []
    with atomic_directory(root / MASKS) as masks, Workers(workers) as pool:
        for split in IMAGES:
            records += _prepare_split(root, split, masks, pool)
        index = DataIndex(root, CLASSES, validate_records(records, CLASSES, str(root)))
        return require_counts(index, expected)


def instances_file(root: str | Path, split: str) -> Path:
    """The instance annotations of a split, for COCO's own measures; ``trainaug`` is ``train``."""
    return Path(root) / INSTANCES["train" if split == "trainaug" else split]


def image_id(image: str) -> int:
    """COCO's number of an image: 9 of ``COCO_train2014_000000000009``."""
    return int(image.rpartition("_")[2])


def _prepare_split(root: Path, split: str, masks: Path, pool: Workers) -> Iterator[Record]:
    instances = read_instances(root / INSTANCES[split])
    _require_categories(instances)
    images = [image for image in instances.images if image.annotations]
    work = _Prepare(root, split, masks)
    yield from progress(pool.map(work, images), len(images), f"{split} images")


def _require_categories(instances: CocoInstances) -> None:
    expected = dict(zip(CATEGORY_IDS, CLASSES, strict=True))
    if dict(instances.categories) != expected:
        wrong = sorted(set(instances.categories.items()) ^ set(expected.items()))
        raise DataError(f"{instances.path}: not the 80 categories of COCO 2014; it differs at {wrong[:4]}.")


@dataclass(frozen=True)
class _Prepare:
    """Makes the record of an image, and writes its mask."""

    root: Path
    split: str
    masks: Path

    def __call__(self, image: CocoImage) -> Record:
        name = Path(image.file_name).stem
        path = f"{IMAGES[self.split]}/{image.file_name}"
        size = picture_size(self.root / path)
        if size != image.size:
            raise DataError(f"{self.root / path}: is {size[0]} x {size[1]}, its annotations are for {image.size}.")
        values = {category: k + 1 for k, category in enumerate(CATEGORY_IDS)}
        (self.masks / f"{name}.png").write_bytes(encode_mask(paint(image, values)))
        labels = tuple(CLASSES[values[category] - 1] for category in image.categories())
        return Record(name, SPLITS[self.split], labels, path, f"{MASKS}/{name}.png", size)
