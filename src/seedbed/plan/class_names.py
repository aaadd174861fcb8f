"""Classes of the data sets that are known without their files, read from the source: a plan loads no images."""

import ast
import functools

from seedbed.io.identity import module_file
from seedbed.io.signatures import parsed

_LISTS = {
    "voc12": ("seedbed.data.voc", "VOC_CLASSES"),
    "coco14": ("seedbed.data.published.coco14", "CLASSES"),
    "imagenet_segmentation": ("seedbed.data.published.imagenet_segmentation", "CLASSES"),
    "shapes": ("seedbed.data.shapes_scene", "CLASS_NAMES"),
}
"""Kind of data set -> the module and the constant that list its classes."""


@functools.cache
def class_names(kind: str) -> tuple[str, ...] | None:
    """Return the classes of a kind of data set; None where its files say them."""
    if kind not in _LISTS:
        return None
    module, constant = _LISTS[kind]
    for node in parsed(module_file(module)).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [constant]:
            return tuple(word for part in ast.walk(node.value) for word in _words(part))
    raise LookupError(f"{module} has no {constant}")


def _words(node: ast.AST) -> list[str]:
    """Class names in a literal: of a text with spaces in between, or one."""
    return node.value.split() if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
