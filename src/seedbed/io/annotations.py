"""Annotations as the types that they name, from the syntax tree: names, unions, literals, parameters; no code runs."""

import ast
from collections.abc import Mapping
from typing import Any

_PLAIN = {kind.__name__: kind for kind in (bool, int, float, str, list, tuple, dict, set)}


def annotated_type(annotation: str | ast.expr, names: Mapping[str, Any]) -> Any:
    """Return the type that an annotation stands for.

    Args:
        annotation: as text or as a syntax tree.
        names: what its names stand for, beside Python's plain types; constants stand for themselves.

    Raises:
        NameError: it uses another name.
        TypeError: it is no annotation of the kinds above.
    """
    node = ast.parse(annotation, mode="eval").body if isinstance(annotation, str) else annotation
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            known = {**_PLAIN, **names}
            if name not in known:
                raise NameError(f"name '{name}' is not known in an annotation")
            return known[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return annotated_type(left, names) | annotated_type(right, names)
        case ast.Tuple(elts=parts):
            return tuple(annotated_type(part, names) for part in parts)
        case ast.List(elts=parts):
            return [annotated_type(part, names) for part in parts]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Subscript(value=kind, slice=inner):
            return annotated_type(kind, names)[annotated_type(inner, names)]
        case ast.Call(func=function, args=arguments, keywords=[]):
            return annotated_type(function, names)(*(annotated_type(argument, names) for argument in arguments))
    raise TypeError(f"'{ast.unparse(node)}' is no annotation of a simple kind")
