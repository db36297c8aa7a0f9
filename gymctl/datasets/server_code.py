"""The fields that a resources server requires of a row, read from its code without running it.

The fields are those of the model that ``verify`` takes, the tools those that are declared in the class or, in NeMo
Gym's servers, registered with ``app.post``. What the code computes is not guessed: then nothing is checked.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from gymctl.datasets.field_types import FieldType, field_type

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OWN_FIELDS = frozenset(("responses_create_params", "response", "model_config"))
_OWN_PATHS = frozenset(("seed_session", "verify", "run", "aggregate_metrics", "close_session"))


@dataclass(frozen=True)
class RowField:
    """A field that ``verify`` reads from a row."""

    type: FieldType
    is_required: bool


@dataclass(frozen=True)
class ServerCode:
    """What the code of a resources server shows."""

    path: Path
    fields: Mapping[str, RowField] = field(default_factory=dict)
    tools: frozenset[str] | None = None
    """Names of its tools; None when the code does not show them all."""


def read_server_code(folder: Path, entrypoint: str = "app.py") -> ServerCode | None:
    """Read a server's code; None when it cannot be read or parsed."""
    path = folder / entrypoint
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    for node in reversed(classes.values()):
        lineage = list(_lineage(node, classes))
        verify = _method(lineage, "verify")
        if verify is not None:
            return ServerCode(path=path, fields=_fields(verify, classes), tools=_tools(lineage))
    return ServerCode(path=path)


def _lineage(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """A class and its bases in the same file."""
    yield node
    earlier = {name: item for name, item in classes.items() if item.lineno < node.lineno}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in earlier:
            yield from _lineage(earlier[base.id], earlier)


def _method(lineage: Sequence[ast.ClassDef], name: str) -> _Function | None:
    for item in chain.from_iterable(node.body for node in lineage):
        if isinstance(item, _Function) and item.name == name:
            return item
    return None


def _fields(verify: _Function, classes: Mapping[str, ast.ClassDef]) -> dict[str, RowField]:
    arguments = verify.args.args
    body = next((argument for argument in arguments[1:] if argument.arg in ("body", "request")), None)
    if body is None and len(arguments) > 1:
        body = arguments[1]
    if body is None or not isinstance(body.annotation, ast.Name) or body.annotation.id not in classes:
        return {}
    return dict(_model_fields(classes[body.annotation.id], classes))


def _model_fields(
    model: ast.ClassDef, classes: Mapping[str, ast.ClassDef], seen: frozenset[str] = frozenset()
) -> Iterator[tuple[str, RowField]]:
    """Annotated fields of a model and of its bases in the same file; the model's own win, so they come last."""
    for base in model.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id not in seen:
            yield from _model_fields(classes[base.id], classes, seen | {model.name})
    for item in model.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        name = _alias(item.value) or item.target.id
        is_class_variable = "ClassVar" in ast.unparse(item.annotation)
        if name not in _OWN_FIELDS and not name.startswith("_") and not is_class_variable:
            yield name, RowField(type=field_type(item.annotation), is_required=not _has_default(item.value))


def _alias(value: ast.expr | None) -> str | None:
    """The name in the row of a field with an alias."""
    if not isinstance(value, ast.Call):
        return None
    for keyword in value.keywords:
        if keyword.arg in ("alias", "validation_alias") and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return None


def _has_default(value: ast.expr | None) -> bool:
    """Whether a field may be missing; of ``Field(...)`` only one with a default."""
    if value is None:
        return False
    if not isinstance(value, ast.Call) or ast.unparse(value.func).rpartition(".")[2] != "Field":
        return True
    if value.args:
        return not (isinstance(value.args[0], ast.Constant) and value.args[0].value is ...)
    return any(keyword.arg in ("default", "default_factory") for keyword in value.keywords)


def _tools(lineage: Sequence[ast.ClassDef]) -> frozenset[str] | None:
    names: set[str] = set()
    for item in chain.from_iterable(node.body for node in lineage):
        if isinstance(item, _Function):
            names.update(_tool_name(item, decorator) for decorator in item.decorator_list)
    for call in chain.from_iterable(map(ast.walk, lineage)):
        if not isinstance(call, ast.Call):
            continue
        registered = _registered(call)
        if registered is None:
            return None
        names.add(registered)
    return frozenset(names - _OWN_PATHS - {""})


def _registered(call: ast.Call) -> str | None:
    """The path that a call registers; empty when it registers none, None when the code does not show it."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    if call.func.attr in ("add_api_route", "include_router", "mount", "api_route"):
        return None
    if call.func.attr not in ("post", "get") or not ast.unparse(call.func.value).endswith("app"):
        return ""
    if not call.args or not isinstance(call.args[0], ast.Constant):
        return None
    path = str(call.args[0].value).strip("/")
    if "{" in path:
        return None
    return path


def _tool_name(method: _Function, decorator: ast.expr) -> str:
    """The tool that a decorator makes of a method; empty when it makes none."""
    values: list[ast.expr] = []
    if isinstance(decorator, ast.Call):
        values += decorator.args
        values += [keyword.value for keyword in decorator.keywords if keyword.arg in ("name", "path")]
        decorator = decorator.func
    if ast.unparse(decorator).rpartition(".")[2] not in ("tool", "endpoint"):
        return ""
    texts = [str(value.value) for value in values if isinstance(value, ast.Constant)]
    return [*texts, method.name][0].strip("/")
