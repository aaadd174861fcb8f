"""timm's networks, read from its source text: importing timm takes seconds, and a plan needs no torch."""

import functools
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

_BUILDERS = ("_builder.py", "_factory.py", "_features.py")
"""Files whose arguments every network takes."""


@functools.cache
def timm_networks() -> Mapping[str, Path]:
    """Every architecture that timm knows -> the file that defines it; none where timm is not installed."""
    return {
        name: path
        for path in sorted(_folder().glob("*.py"))
        for name in re.findall(r"@register_model\s+def (\w+)\(", path.read_text(encoding="utf-8"))
    }


def timm_words(architecture: str) -> frozenset[str]:
    """Every word of the files that build a network of timm's: what is none of them is no option of it."""
    return _words(timm_networks()[architecture], *(_folder() / name for name in _BUILDERS))


def timm_tags(architecture: str) -> tuple[str, ...]:
    """Names of a network's published weights, ``architecture.tag``."""
    text = timm_networks()[architecture].read_text(encoding="utf-8")
    return tuple(dict.fromkeys(re.findall(rf"['\"]({re.escape(architecture)}\.\w+)['\"]", text)))


@functools.cache
def words_of(path: Path) -> frozenset[str]:
    """Words of a source file, and of the files of timm's that it imports from."""
    text = path.read_text(encoding="utf-8")
    imported = [
        _folder() / f"{name}.py" for name in re.findall(r"^from timm\.models\.(\w+) import", text, re.MULTILINE)
    ]
    return frozenset(re.findall(r"\w+", text)) | _words(*(path for path in imported if path.is_file()))


@functools.cache
def _words(*paths: Path) -> frozenset[str]:
    return frozenset(word for path in paths for word in re.findall(r"\w+", path.read_text(encoding="utf-8")))


@functools.cache
def _folder() -> Path:
    found = importlib.util.find_spec("timm")
    locations = (found.submodule_search_locations if found else None) or ["."]
    return Path(locations[0]) / "models"
