"""Types of settings as a server's source spells them: from an annotation's syntax tree to a type to check with.

The source is not executed. What is not known here (a type that the code imports from elsewhere) becomes ``Any``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Field

from gymctl.config.blocks.server_fields import ReferenceKeys
from gymctl.config.choices import LogFormat
from gymctl.config.settings.setting_types import ApiKey, EndpointUrl, HeaderText

_NAMES: Mapping[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, str, bool)},
    "None": None,
    "dict": dict[Any, Any],
    "Mapping": dict[Any, Any],
    "list": list[Any],
    "Sequence": list[Any],
    "ServerReference": ReferenceKeys,
    "ApiKey": ApiKey,
    "EndpointUrl": EndpointUrl,
    "HeaderText": HeaderText,
    "LogFormat": Literal[tuple(kind.value for kind in LogFormat)],
}
_KIT_NAMES = frozenset({"ServerReference", "ApiKey", "EndpointUrl", "HeaderText", "LogFormat"})
_LISTS = frozenset({"list", "List", "Sequence"})
_MAPPINGS = frozenset({"dict", "Dict", "Mapping"})
_BOUNDS = frozenset({"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length"})


def type_of(annotation: ast.expr, module: ast.Module, classes: Mapping[str, ast.ClassDef]) -> Any:
    """The type that an annotation of ``module`` means, with its bounds; ``Any`` where it cannot be known.

    ``classes`` are further classes that the annotation may name, by their name.
    """
    return _Types(module, classes).of(annotation)


class _Types:
    def __init__(self, module: ast.Module, classes: Mapping[str, ast.ClassDef]) -> None:
        self._aliases = dict(_aliases(module))
        own = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
        self._classes = {**classes, **own}
        self._open: set[str] = set()

    def of(self, node: ast.expr) -> Any:
        """The type of one expression."""
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right])
        if isinstance(node, ast.Subscript):
            return self._subscript(_last_name(node.value), node.slice)
        return Any

    def _constant(self, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, str):
            return Any
        try:
            return self.of(ast.parse(value, mode="eval").body)  # a type in quotes
        except SyntaxError:
            return Any

    def _named(self, name: str) -> Any:
        if name in _KIT_NAMES:
            return _NAMES[name]
        if name in self._classes:
            return self._class(self._classes[name])
        if name in self._aliases and name not in self._open:
            self._open.add(name)
            values = self.of(self._aliases[name])
            self._open.remove(name)
            return values
        return _NAMES.get(name, Any)

    def _class(self, node: ast.ClassDef) -> Any:
        """A class of the same module: an enumeration is the choice of its values, a model is a mapping."""
        bases = {_last_name(base) for base in node.bases}
        if bases & {"Enum", "StrEnum", "IntEnum"}:
            values = [item.value for item in node.body if isinstance(item, ast.Assign)]
            names = tuple(value.value for value in values if isinstance(value, ast.Constant))
            if names and len(names) == len(values):
                return Literal[names]
            return Any
        if "BaseModel" in bases:
            return dict[Any, Any]
        return Any

    def _union(self, nodes: list[ast.expr]) -> Any:
        types = [self.of(node) for node in nodes]
        return Any if Any in types else Union[tuple(types)]  # noqa: UP007 - its parts are known at run time only

    def _subscript(self, name: str, inner: ast.expr) -> Any:
        if isinstance(inner, ast.Tuple):
            parts = list(inner.elts)
        else:
            parts = [inner]
        kind: Any = Any
        if name == "Literal":
            values = tuple(part.value for part in parts if isinstance(part, ast.Constant))
            if len(values) == len(parts):
                kind = Literal[values]
            else:
                kind = Any
        elif name == "Annotated":
            kind = self._annotated(parts[0], parts[1:])
        elif name == "Optional":
            kind = self._union([parts[0], ast.Constant(None)])
        elif name == "Union":
            kind = self._union(parts)
        elif name in _LISTS and len(parts) == 1:
            kind = list[self.of(parts[0])]  # type: ignore[misc]
        elif name in _MAPPINGS and len(parts) == 2:
            kind = dict[self.of(parts[0]), self.of(parts[1])]  # type: ignore[misc]
        return kind

    def _annotated(self, first: ast.expr, metadata: list[ast.expr]) -> Any:
        kind = self.of(first)
        for item in metadata:
            bounds = bounds_of(item)
            if bounds and kind is not Any:
                kind = Annotated[kind, Field(**bounds)]
        return kind


def bounds_of(value: ast.expr | None) -> dict[str, Any]:
    """The bounds that a call of ``Field`` names, where they are constants."""
    if not isinstance(value, ast.Call) or _last_name(value.func) != "Field":
        return {}
    named = {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg in _BOUNDS}
    return {str(name): constant(node) for name, node in named.items() if constant(node) is not None}


def constant(node: ast.expr | None) -> Any:
    """The value of an expression that is a literal; None for any other."""
    try:
        if node is not None:
            return ast.literal_eval(node)
        return None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return ""


def _aliases(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """The module's assignments of one name, such as ``Seconds = Annotated[float, Field(gt=0)]``."""
    for node in module.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
