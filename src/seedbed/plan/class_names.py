"""Classes of the data sets that are known without their files, read from the source: a plan loads no images."""

import ast
import functools

from seedbed.io.identity import module_file
from seedbed.io.registrations import registrations
from seedbed.io.signatures import parsed
from seedbed.params.data import PUBLISHED

_LISTS = {
    "voc12": ("seedbed.data.voc", "VOC_CLASSES"),
    "shapes": ("seedbed.data.shapes_scene", "CLASS_NAMES"),
}
"""Kind of data set -> the module and the constant that list its classes, where that is not its own, ``CLASSES``."""


@functools.cache
def class_names(kind: str) -> tuple[str, ...] | None:
    """Return the classes of a kind of data set; None where its files say them."""
    homes = {name: (entry.module, "CLASSES") for name, (entry,) in registrations(*PUBLISHED).items()} | _LISTS
    if kind not in homes:
        return None
    module, constant = homes[kind]
    for node in parsed(module_file(module)).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [constant]:
            return tuple(word for part in ast.walk(node.value) for word in _words(part))
    if kind in _LISTS:
        raise LookupError(f"{module} has no {constant}")
    return None


def _words(node: ast.AST) -> list[str]:
    """Class names in a literal: of a text with spaces in between, or one."""
    return node.value.split() if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
