"""Whether a prepared data set has as many images in each split as its publishers say."""

from collections.abc import Mapping

from seedbed.data.index import DataIndex
from seedbed.errors import DataError


def require_counts(index: DataIndex, expected: Mapping[str, int]) -> DataIndex:
    """Return ``index`` if every split of ``expected`` has that many images.

    Raises:
        DataError: naming the data set, the split and both numbers.
    """
    found = index.splits()
    for split, count in expected.items():
        if found.get(split, 0) != count:
            raise DataError(
                f"{index.root}: split '{split}' has {found.get(split, 0):,} images, the published one {count:,}. "
                "The raw files are of another version or incomplete; fetch or link them again."
            )
    return index
