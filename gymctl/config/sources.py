"""From command-line arguments to the ordered layers of a configuration.

Order (global_config.py of NeMo Gym): files in turn, nested ``config_paths`` after them, ``env.yaml``, overrides; later
wins. Paths resolve from the current directory, then ``NEMO_GYM_EXTRA_ROOTS``, then the bundled ``services/``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config.documents import Document, read_document
from gymctl.config.locations import shown
from gymctl.config.overrides import Override, looks_like_override, override_document, parse_override
from gymctl.errors import ConfigError, InputError, Problem

_NOT_LAYERS = ("env.yaml", "env.yml")


@dataclass(frozen=True)
class Layers:
    """The documents of a configuration in merge order, and where they came from."""

    files: tuple[Document, ...]
    env: Document | None
    overrides: tuple[Document, ...]
    roots: tuple[Path, ...]

    @property
    def all(self) -> tuple[Document, ...]:
        """Every layer, first to last; later wins."""
        return (*self.files, *((self.env,) if self.env else ()), *self.overrides)


def search_roots(cwd: Path, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where relative paths and server folders are looked for, in order."""
    extra = [Path(part).expanduser() for part in environ.get("NEMO_GYM_EXTRA_ROOTS", "").split(os.pathsep) if part]
    return (cwd, *extra, assets.folder("services"))


def read_layers(arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> Layers:
    """Read every layer that the arguments name.

    Raises:
        InputError: an argument is neither a configuration nor an override, or a file is missing.
        ConfigError: a file is not valid YAML.
    """
    roots = search_roots(cwd, environ)
    overrides = [
        parse_override(argument)
        for argument in arguments
        if looks_like_override(argument) and not (cwd / argument).exists()
    ]
    named = [argument for argument in arguments if not looks_like_override(argument) or (cwd / argument).exists()]
    env_path = cwd / "env.yaml"
    env = read_document(env_path, cwd) if env_path.is_file() else None
    named += _config_paths(overrides, env)
    if not named:
        raise InputError(
            "no configuration was given",
            "name one or more YAML files, a directory with a stack in it, or +config_paths=[a.yaml,b.yaml]",
        )
    return Layers(
        files=tuple(_read_all(named, roots, cwd)),
        env=env,
        overrides=tuple(override_document(item) for item in overrides if item.path != ("config_paths",)),
        roots=roots,
    )


def _config_paths(overrides: Sequence[Override], env: Document | None) -> list[str]:
    """``config_paths`` of the command line, else of ``env.yaml``; a comma-separated text counts as a list."""
    for override in reversed(overrides):
        if override.path == ("config_paths",):
            return _paths(override.value, f"command line ({override.text})")
    if env and "config_paths" in env.data:
        return _paths(env.data["config_paths"], str(env.marks[("config_paths",)]))
    return []


def _paths(value: Any, where: str) -> list[str]:
    items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ConfigError([Problem(where, "config_paths is not a list of paths", "write [a.yaml,b.yaml]")])
    return [item for item in items if item]


def _read_all(named: Sequence[str], roots: Sequence[Path], cwd: Path) -> list[Document]:
    """Read files in order; a file's own ``config_paths`` are appended to the end of the list, each text once."""
    pending = list(named)
    seen: set[Path] = set()
    documents: list[Document] = []
    position = 0
    while position < len(pending):
        for path in _expand(pending[position], roots, cwd):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            document = read_document(path, cwd)
            documents.append(document)
            if "config_paths" in document.data:
                nested = _paths(document.data.pop("config_paths"), str(document.marks[("config_paths",)]))
                pending += [item for item in nested if item not in pending]
        position += 1
    return documents


def _expand(text: str, roots: Sequence[Path], cwd: Path) -> list[Path]:
    """The files that one CONFIG stands for: itself, a glob's matches, or the stack in a directory."""
    wanted = Path(text).expanduser()
    for root in roots:
        place = wanted if wanted.is_absolute() else root / wanted
        if place.is_dir():
            return _stack_in(place, cwd)
        if place.is_file():
            return [place]
        if any(letter in text for letter in "*?["):
            matches = sorted(_glob(wanted, root))
            if matches:
                return matches
    raise InputError(f"{text}: no such file{_looked_in(roots, cwd)}", _suggestion(text, roots))


def _glob(wanted: Path, root: Path) -> list[Path]:
    if wanted.is_absolute():
        return [path for path in Path(wanted.anchor).glob(str(wanted.relative_to(wanted.anchor))) if path.is_file()]
    return [path for path in root.glob(str(wanted)) if path.is_file()]


def _stack_in(folder: Path, cwd: Path) -> list[Path]:
    """``stack.yaml`` of a directory, else every YAML file in it that is configuration."""
    stack = folder / "stack.yaml"
    if stack.is_file():
        return [stack]
    files = sorted(
        path
        for path in folder.glob("*.yaml")
        if path.name not in _NOT_LAYERS and not path.name.startswith(("compose", "docker-compose"))
    )
    if not files:
        raise InputError(f"{shown(folder, cwd)}: no YAML file in this directory", "put a stack.yaml there")
    return files


def _looked_in(roots: Sequence[Path], cwd: Path) -> str:
    return (
        " (looked in . and the bundled services)"
        if len(roots) == 2
        else f" (looked in {', '.join(shown(root, cwd) for root in roots)})"
    )


def _suggestion(text: str, roots: Sequence[Path]) -> str:
    known = [str(path.relative_to(root)) for root in roots[-1:] for path in root.glob("*/*/configs/*.yaml")]
    by_name = {Path(path).name: path for path in known}
    close = get_close_matches(text, known, 1, 0.75) or [
        by_name[name] for name in get_close_matches(Path(text).name, by_name, 1, 0.75)
    ]
    return f"did you mean {close[0]}?" if close else "check the path, or run gymctl from the folder it starts in"
