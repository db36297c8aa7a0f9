"""Which fields a server's code reads, found in its source without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gymctl import assets

# The modules of gymctl.server that define the base classes of servers and of their settings.
_KIT = ("base", "agent", "models/server", "resources", "models/endpoint")
_ALIASES = frozenset({"alias", "validation_alias"})
_Classes = Mapping[str, ast.ClassDef]


@dataclass(frozen=True)
class Implementation:
    """The fields that a server's configuration class declares, and every word of its source.

    A field of a class that allows more than it declares may be read by its name alone, hence the words. ``required``
    has one item for every field without a default: its name, and the names that stand for it.
    """

    fields: frozenset[str]
    words: frozenset[str]
    required: tuple[tuple[str, ...], ...] = ()

    def reads(self, key: str) -> bool:
        """Whether anything in the code has to do with ``key``."""
        return key in self.fields or key in self.words


@lru_cache(maxsize=256)
def implementation_of(folder: Path, entrypoint: str) -> Implementation | None:
    """What the server in ``folder`` reads; None when it is not built on ``gymctl.server``, or cannot be told."""
    try:
        text = (folder / entrypoint).read_text(encoding="utf-8")
        own = _classes(text)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError):
        return None
    if "gymctl.server" not in text:
        return None
    classes = {**_kit_classes(), **own}
    config = next((name for cls in own if (name := _config_class(cls, classes))), None)
    fields = _fields(config, classes) if config else None
    if fields is None:
        return None
    words = {word for path in folder.glob("*.py") for word in re.findall(r"\w+", _read(path))}
    return Implementation(frozenset(fields), frozenset(words), tuple(_required(config, classes)) if config else ())


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _classes(text: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}


@lru_cache(maxsize=1)
def _kit_classes() -> dict[str, ast.ClassDef]:
    classes: dict[str, ast.ClassDef] = {}
    for module in _KIT:
        classes.update(_classes(_read(assets.package() / "server" / f"{module}.py")))
    return classes


def _bases(name: str, classes: _Classes) -> Iterator[str]:
    """The class and its ancestors by name, nearest first; the last may be one that nobody here defines."""
    yield name
    for base in classes[name].bases if name in classes else ():
        if isinstance(base, ast.Name):
            yield from _bases(base.id, classes)
        else:
            yield ast.unparse(base)


def _config_class(server: str, classes: _Classes) -> str | None:
    """The class that a server class annotates ``config`` with, itself or by inheritance."""
    lineage = list(_bases(server, classes))
    if "Server" not in lineage:
        return None
    for name in lineage:
        for node in classes[name].body if name in classes else ():
            if isinstance(node, ast.AnnAssign) and _name(node) == "config" and isinstance(node.annotation, ast.Name):
                return node.annotation.id
    return None


def _fields(config: str, classes: _Classes) -> set[str] | None:
    fields: set[str] = set()
    for name in _bases(config, classes):
        if name == "BaseModel":
            continue
        if name not in classes:
            return None
        for node in classes[name].body:
            if isinstance(node, ast.AnnAssign):
                fields |= {_name(node), *_aliases(node.value)}
    return fields


def _required(config: str, classes: _Classes) -> Iterator[tuple[str, ...]]:
    """The fields without a default, those of the base classes first; a subclass may give them one."""
    declared: dict[str, ast.AnnAssign] = {}
    for name in reversed(list(_bases(config, classes))):
        for node in classes[name].body if name in classes else ():
            if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar"):
                declared[_name(node)] = node
    for name, node in declared.items():
        if not _has_default(node.value):
            yield (name, *(alias for alias in _aliases(node.value) if alias != name))


def _has_default(value: ast.expr | None) -> bool:
    if not (isinstance(value, ast.Call) and ast.unparse(value.func).endswith("Field")):
        return value is not None
    named = {keyword.arg: keyword.value for keyword in value.keywords}
    first = value.args[0] if value.args else named.get("default")
    if isinstance(first, ast.Constant) and first.value is ...:
        return False
    return first is not None or bool(named.keys() & {"default_factory", None})


def _name(node: ast.AnnAssign) -> str:
    return node.target.id if isinstance(node.target, ast.Name) else ""


def _aliases(value: ast.expr | None) -> Iterator[str]:
    """The text constants of ``Field(alias=..., validation_alias=AliasChoices(...))``."""
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg in _ALIASES:
            for node in ast.walk(keyword.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
