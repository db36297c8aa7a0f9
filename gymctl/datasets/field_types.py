"""Types of fields as annotations write them, and whether a JSON value fits, by pydantic's lenient rules."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class FieldType:
    """A type: its text, and what fits it."""

    text: str
    fits: Check = field(compare=False)


def field_type(annotation: ast.expr) -> FieldType:
    """The type of an annotation; everything fits one that is not known."""
    return FieldType(ast.unparse(annotation), _check(annotation))


def _anything(value: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    """Pydantic takes whole floats and texts of digits for an integer."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdecimal())


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float)


def _is_truth(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() in ("true", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "0", "1")
    return value in (0, 1)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_null(value: Any) -> bool:
    return value is None


_PLAIN: dict[str, Check] = {
    "str": _is_text,
    "int": _is_whole,
    "float": _is_number,
    "bool": _is_truth,
    "list": _is_list,
    "List": _is_list,
    "dict": _is_object,
    "Dict": _is_object,
    "None": _is_null,
}


def _check(annotation: ast.expr) -> Check:
    if isinstance(annotation, ast.Constant):
        return _of_constant(annotation.value)
    if isinstance(annotation, ast.BinOp):
        return _any_of(_check(annotation.left), _check(annotation.right))
    if isinstance(annotation, ast.Subscript):
        return _subscripted(annotation)
    return _PLAIN.get(ast.unparse(annotation).rpartition(".")[2], _anything)


def _of_constant(value: object) -> Check:
    """``None``, or an annotation that is quoted."""
    if isinstance(value, str):
        try:
            return _check(ast.parse(value, mode="eval").body)
        except SyntaxError:
            return _anything
    if value is None:
        return _is_null
    return _anything


def _any_of(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


def _subscripted(annotation: ast.Subscript) -> Check:
    name = ast.unparse(annotation.value).rpartition(".")[2]
    inner = annotation.slice
    if isinstance(inner, ast.Tuple):
        parts = inner.elts
    else:
        parts = [inner]
    if name == "Optional":
        return _any_of(_is_null, _check(inner))
    if name == "Union":
        return _any_of(*map(_check, parts))
    if name == "Annotated":
        return _check(parts[0])
    if name == "Literal":
        choices = [part.value for part in parts if isinstance(part, ast.Constant)]
        return lambda value: value in choices
    if name in ("list", "List", "Sequence"):
        item = _check(parts[0])
        return lambda value: isinstance(value, list) and all(map(item, value))
    return _PLAIN.get(name, _anything)
