"""PASCAL VOC 2012 with the Semantic Boundaries Dataset (SBD): the splits and masks of weakly supervised segmentation.

``trainaug`` is SBD's train and val and VOC's train, without VOC's val: 10,582 images. Their labels come from VOC's
own XML, difficult objects included; their masks are VOC's where VOC has one, SBD's, which have no void, otherwise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from seedbed.data.images import picture_size
from seedbed.data.index import DataIndex, Record, validate_records
from seedbed.data.published.catalogue import published
from seedbed.data.published.counts import require_counts
from seedbed.data.voc import VOC_CLASSES, read_annotation, read_image_list
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import encode_mask
from seedbed.io.progress import progress

VOC = "raw/voc12_trainval/VOCdevkit/VOC2012"
TEST = "raw/voc12_test/VOCdevkit/VOC2012"
SBD = "raw/sbd/benchmark_RELEASE/dataset"
MASKS = "SegmentationClassAug"
EXPECTED = MappingProxyType({"train": 1464, "trainaug": 10582, "val": 1449})
EXPECTED_TEST = 1456
_LIST = "ImageSets/Segmentation/{}.txt"


@published("voc12", splits="train trainaug val test", offers="boxes masks", test="voc12_test", train_inside=True)
def prepare_voc12(
    root: str | Path,
    *,
    expected: Mapping[str, int] = EXPECTED,
    expected_test: int = EXPECTED_TEST,
    workers: int | None = None,
) -> DataIndex:
    """Index VOC 2012 below ``root/raw``, and write SBD's masks to ``root/SegmentationClassAug`` as palette PNGs.

    Splits: ``train``, ``trainaug``, ``val``, and ``test`` (no labels, no masks) where its archive is there.

    Args:
        root: the data set's folder.
        expected: images of each split.
        expected_test: images of ``test``, where it is there.
        workers: processes; None takes all processors.

    Raises:
        DataError: a raw file is missing or damaged, or a split has another number of images.
    """
    root = Path(root)
    members = _members(root)
    has_test = (root / TEST).is_dir()
    with atomic_directory(root / MASKS) as masks, Workers(workers) as pool:
        work = _Prepare(root, masks)
        records = list(progress(pool.map(work, sorted(members.items())), len(members), "images"))
        if has_test:
            test = read_image_list(root / TEST / _LIST.format("test"))
            records += pool.map(_TestRecord(root), test)
        index = DataIndex(root, VOC_CLASSES, validate_records(records, VOC_CLASSES, str(root / VOC)))
        return require_counts(index, {**expected, "test": expected_test} if has_test else expected)


def _members(root: Path) -> dict[str, tuple[str, ...]]:
    """Image id -> its splits."""
    splits = {name: read_image_list(root / VOC / _LIST.format(name)) for name in ("train", "val")}
    sbd = [image for name in ("train", "val") for image in read_image_list(root / SBD / f"{name}.txt")]
    splits["trainaug"] = augmented(splits["train"], splits["val"], sbd)
    members: dict[str, tuple[str, ...]] = {}
    for name in ("train", "trainaug", "val"):
        for image in splits[name]:
            members[image] = (*members.get(image, ()), name)
    return members


def augmented(train: Iterable[str], val: Iterable[str], sbd: Iterable[str]) -> list[str]:
    """The ids of ``trainaug``, sorted: VOC's train and SBD's, without VOC's val."""
    return sorted({*train, *sbd} - set(val))


def read_sbd_mask(path: Path) -> np.ndarray:
    """The class mask of an SBD file (``cls/<image>.mat``, MATLAB 5) as uint8 [H, W]: 0 background, 1..20.

    Raises:
        DataError: the file is missing, damaged, or holds no such mask.
    """
    try:
        with path.open("rb") as stream:
            content = scipy.io.loadmat(stream, variable_names=["GTcls"])
        mask = np.asarray(content["GTcls"]["Segmentation"][0, 0])
    except FileNotFoundError:
        raise DataError(f"{path}: no such SBD mask.") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path}: not an SBD mask ({error}). Unpack the archive again.") from None
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "uif" or not 0 <= mask.min() <= mask.max() <= 20:
        raise DataError(f"{path}: its 'Segmentation' must be [H, W] with values 0..20, not {mask.dtype} {mask.shape}.")
    return mask.astype(np.uint8)


@dataclass(frozen=True)
class _Prepare:
    """Makes the record of an image; where VOC has no mask, SBD's is written to ``masks``."""

    root: Path
    masks: Path

    def __call__(self, item: tuple[str, tuple[str, ...]]) -> Record:
        image, splits = item
        file, mask = f"{VOC}/JPEGImages/{image}.jpg", f"{VOC}/SegmentationClass/{image}.png"
        size = picture_size(self.root / file)
        if splits == ("trainaug",):
            mask = f"{MASKS}/{image}.png"
            self._write_sbd_mask(image, size)
        elif not (self.root / mask).is_file():
            raise DataError(f"{self.root / mask}: no such mask. Unpack the archive again.")
        boxes = tuple(read_annotation(self.root / VOC / "Annotations" / f"{image}.xml"))
        labels = tuple(dict.fromkeys(box.label for box in boxes))
        return Record(image, splits, labels, file, mask, size, boxes)

    def _write_sbd_mask(self, image: str, size: tuple[int, int]) -> None:
        path = self.root / SBD / "cls" / f"{image}.mat"
        mask = read_sbd_mask(path)
        if mask.shape != size:
            raise DataError(f"{path}: the mask is {mask.shape[0]} x {mask.shape[1]}, its image {size[0]} x {size[1]}.")
        (self.masks / f"{image}.png").write_bytes(encode_mask(mask))


@dataclass(frozen=True)
class _TestRecord:
    """Makes the record of a test image, of which nothing but the image is published."""

    root: Path

    def __call__(self, image: str) -> Record:
        file = f"{TEST}/JPEGImages/{image}.jpg"
        return Record(image, ("test",), (), file, None, picture_size(self.root / file))
