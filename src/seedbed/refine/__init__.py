"""From seeds to pseudo masks: propagation, pixel-adaptive refinement, dense CRF, affinities and their random walk.

Public functions, classes and constants of the modules are looked up here on first use, so that a process that only runs
the dense CRF does not import torch. Modules of the library name each other instead.
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

from seedbed.settings.dense_crf import CrfSettings as CrfSettings

_PUBLIC = re.compile(r"^(?:(?:def|class) ([A-Za-z]\w*)|([A-Z][A-Z\d_]+)(?:: [^=\n]+)? = )", re.MULTILINE)
"""Where a function, a class or a constant begins."""


@cache
def _homes() -> dict[str, str]:
    """Public name -> the module that defines it."""
    return {
        name: path.stem
        for path in Path(__file__).parent.glob("[!_]*.py")
        for found in _PUBLIC.findall(path.read_text(encoding="utf-8"))
        for name in filter(None, found)
    }


def __getattr__(name: str) -> object:
    if name == "__all__":
        return sorted({"CrfSettings", *_homes()})
    if name.startswith("_") or name not in _homes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_homes()[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
