"""Stamps: what a rule writes beside a file that a person put there, or that may never come again.

Snakemake deletes a rule's outputs before the rule runs and after it has failed. So such a file is no rule's output; the
stamp beside it is, ``<file>.json``, and says which content was verified.
"""

from dataclasses import asdict
from pathlib import Path

from seedbed.data.raw.lock import Pin
from seedbed.errors import DataError
from seedbed.io.atomic import write_json

SUFFIX = ".json"


def stamped_file(stamp: str | Path) -> Path:
    """The file that a stamp stands for."""
    return Path(stamp).with_suffix("")


def kept_file(path: str | Path) -> Path:
    """The file that a stamp stands for; a path that is no stamp is the file itself.

    Raises:
        DataError: the file has gone since it was verified.
    """
    if Path(path).suffix != SUFFIX:
        return Path(path)
    file = stamped_file(path)
    if not file.is_file():
        raise DataError(
            f"{file}: has gone since it was verified. Put it back, or remove {path} to have it fetched again."
        )
    return file


def write_stamp(stamp: str | Path, source: str, pin: Pin) -> None:
    """Say that the file beside the stamp is ``source``, with the verified content of ``pin``."""
    write_json(stamp, {"source": source, **asdict(pin)})
