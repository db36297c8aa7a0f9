"""The settings that a server's code declares, read from its source without importing it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config.settings.code_types import bounds_of, constant, type_of

# The modules of gymctl.server that define the base classes of servers and of their settings.
_KIT = ("base", "agent", "models/server", "resources", "models/endpoint", "run/log_level")
_FUNCTIONS = ("def ", "async def ", "@")
_ALIASES = frozenset({"alias", "validation_alias"})


@dataclass(frozen=True)
class _Class:
    """A class and the module that it is defined in."""

    node: ast.ClassDef
    module: ast.Module


_Classes = Mapping[str, _Class]


@dataclass(frozen=True)
class Setting:
    """One field of a server's configuration class."""

    name: str
    aliases: tuple[str, ...] = ()
    """Names that a configuration may use in its place."""
    kind: Any = Any
    """The type to check with; ``Any`` where the source alone does not say it."""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``pydantic.Field`` that bound the value."""
    is_required: bool = False
    default: str | None = None
    """As JSON; None where there is none, or where it is computed."""
    description: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a configuration may use."""
        return tuple(dict.fromkeys((self.name, *self.aliases)))


@dataclass(frozen=True)
class Implementation:
    """The settings that a server's configuration class declares, and the folder of its source."""

    settings: tuple[Setting, ...]
    folder: Path

    @cached_property
    def fields(self) -> frozenset[str]:
        """The names of the settings, and the names that may be used in their place."""
        return frozenset(name for setting in self.settings for name in setting.names)

    def reads(self, key: str) -> bool:
        """Whether anything in the code has to do with ``key``.

        A setting of a class that allows more than it declares may be read by its name alone, anywhere in the folder.
        """
        return key in self.fields or key in _words(self.folder)


@lru_cache(maxsize=256)
def annotated_fields(folder: Path, entrypoint: str) -> frozenset[str]:
    """The names that classes of a server's entrypoint annotate, whatever it is built on; none if it cannot be read."""
    try:
        tree = ast.parse((folder / entrypoint).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    statements = (item for body in bodies for item in body if isinstance(item, ast.AnnAssign))
    return frozenset(item.target.id for item in statements if isinstance(item.target, ast.Name))


@lru_cache(maxsize=256)
def implementation_of(folder: Path, entrypoint: str) -> Implementation | None:
    """What the server in ``folder`` reads; None when it is not built on ``gymctl.server``, or cannot be read."""
    try:
        text = (folder / entrypoint).read_text(encoding="utf-8")
        own = _classes(text)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError):
        return None
    if "gymctl.server" not in text:
        return None
    classes = {**_kit_classes(), **own}
    config = next((name for cls in own if (name := _config_class(cls, classes))), None)
    settings = _settings(config, classes) if config else None
    if settings is None:
        return None
    return Implementation(tuple(settings), folder)


def common_settings() -> tuple[Setting, ...]:
    """The settings of every server of gymctl's kit."""
    return tuple(_settings("ServerConfig", _kit_classes()) or ())


@lru_cache(maxsize=256)
def _words(folder: Path) -> frozenset[str]:
    """Every word of the modules in a folder."""
    return frozenset(word for path in folder.glob("*.py") for word in re.findall(r"\w+", _read(path)))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _classes(text: str) -> dict[str, _Class]:
    module = ast.parse(text)
    return {node.name: _Class(node, module) for node in module.body if isinstance(node, ast.ClassDef)}


@lru_cache(maxsize=1)
def _kit_classes() -> dict[str, _Class]:
    classes: dict[str, _Class] = {}
    for module in _KIT:
        classes.update(_classes(outline(_read(assets.package() / "server" / f"{module}.py"))))
    return classes


def outline(source: str) -> str:
    """A module of the kit without functions and methods, whose bodies take most of the time of parsing it."""
    lines: list[str] = []
    skipped: int | None = None  # indentation of the function that is left out
    for line in source.splitlines():
        text = line.lstrip()
        indentation = len(line) - len(text)
        if skipped is not None and (not text or indentation > skipped or text.startswith(")")):
            continue
        skipped = indentation if text.startswith(_FUNCTIONS) else None
        if skipped is None:
            lines.append(line)
    return "\n".join(lines)


def _bases(name: str, classes: _Classes) -> Iterator[str]:
    """The class and its ancestors by name, nearest first; the last may be defined elsewhere."""
    yield name
    for base in classes[name].node.bases if name in classes else ():
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
        for node in classes[name].node.body if name in classes else ():
            if isinstance(node, ast.AnnAssign) and _name(node) == "config" and isinstance(node.annotation, ast.Name):
                return node.annotation.id
    return None


def _settings(config: str, classes: _Classes) -> list[Setting] | None:
    """The settings, those of the base classes first; a subclass may declare one again. None: a base is unknown."""
    declared: dict[str, Setting] = {}
    nodes = {name: known.node for name, known in classes.items()}
    for name in reversed(list(_bases(config, classes))):
        if name == "BaseModel":
            continue
        if name not in classes:
            return None
        own = classes[name]
        for node, following in zip(own.node.body, [*own.node.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar"):
                declared[_name(node)] = _setting(node, following, own.module, nodes)
    return [setting for setting in declared.values() if setting.name]


def _setting(
    node: ast.AnnAssign, following: ast.stmt | None, module: ast.Module, classes: Mapping[str, ast.ClassDef]
) -> Setting:
    default = _default(node.value)
    literal = constant(default)
    return Setting(
        name=_name(node),
        aliases=tuple(_aliases(node.value)),
        kind=type_of(node.annotation, module, classes),
        bounds=bounds_of(node.value),
        is_required=default is None and not _has_factory(node.value),
        default=None if default is None or literal is None else json.dumps(literal, default=str),
        description=_description(node.value, following),
    )


def _default(value: ast.expr | None) -> ast.expr | None:
    """The expression of the default: the value, or the argument of ``Field``; None for a required setting."""
    if not _is_field(value):
        return value
    assert isinstance(value, ast.Call)  # noqa: S101 - that is what makes it one
    named = {keyword.arg: keyword.value for keyword in value.keywords}
    first = value.args[0] if value.args else named.get("default")
    if isinstance(first, ast.Constant) and first.value is ...:
        return None
    return first


def _has_factory(value: ast.expr | None) -> bool:
    """Whether a call of ``Field`` makes the default, or may (``**options``)."""
    return isinstance(value, ast.Call) and any(item.arg in ("default_factory", None) for item in value.keywords)


def _is_field(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("Field")


def _description(value: ast.expr | None, following: ast.stmt | None) -> str:
    """``Field(description=...)``, otherwise the docstring under the field."""
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg == "description" and isinstance(text := constant(keyword.value), str):
            return text
    docstring = constant(following.value) if isinstance(following, ast.Expr) else None
    if isinstance(docstring, str):
        return " ".join(docstring.replace("``", "`").split())
    return ""


def _name(node: ast.AnnAssign) -> str:
    if isinstance(node.target, ast.Name):
        return node.target.id
    return ""


def _aliases(value: ast.expr | None) -> Iterator[str]:
    """The text constants of ``Field(alias=..., validation_alias=AliasChoices(...))``."""
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg in _ALIASES:
            for node in ast.walk(keyword.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
