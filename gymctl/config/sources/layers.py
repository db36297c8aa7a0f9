"""From command-line arguments to the ordered layers of a configuration: files, then ``env.yaml``, then overrides.

A file's own ``config_paths`` bring further files. Paths resolve from ``NEMO_GYM_EXTRA_ROOTS``, the current directory,
the bundled ``services/`` (that order is NeMo Gym's since 0.5), and a nested one also from its includer's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config.choices import MergeOrder
from gymctl.config.gym_release import chosen_version, merge_order_of
from gymctl.config.sources.config_files import Finder
from gymctl.config.sources.overrides import Override, looks_like_override, override_document, parse_override
from gymctl.config.sources.recipe import Recipe, read_recipe
from gymctl.config.sources.resolve import resolve_text
from gymctl.config.sources.yaml_documents import Document, read_document
from gymctl.config.wording import did_you_mean
from gymctl.errors import ConfigError, InputError, Problem

OWN_KEY = "gymctl"  # top-level settings of gymctl itself; NeMo Gym takes no notice of them
_PATHS = "config_paths"


@dataclass(frozen=True)
class Layers:
    """The documents of a configuration in merge order, and where they came from.

    ``includes`` maps a file's name to the names of all files it brings in, near and far.
    """

    files: tuple[Document, ...]
    env: Document | None
    overrides: tuple[Document, ...]
    roots: tuple[Path, ...]
    order: MergeOrder
    includes: Mapping[str, frozenset[str]]
    ordered_as: str = ""
    """The release of NeMo Gym that the order was taken from; empty where it was set, or is the default one."""
    recipes: tuple[Recipe, ...] = ()
    """The recipes of NeMo RL among the files."""

    @property
    def all(self) -> tuple[Document, ...]:
        """Every layer, first to last; later wins."""
        return (*self.files, *((self.env,) if self.env else ()), *self.overrides)


def search_roots(cwd: Path, environ: Mapping[str, str], gym_root: Path | None = None) -> tuple[Path, ...]:
    """Where relative paths and server folders are looked for, in order; ``gym_root`` is a NeMo Gym checkout."""
    extra = [Path(part).expanduser() for part in environ.get("NEMO_GYM_EXTRA_ROOTS", "").split(os.pathsep) if part]
    return (*(cwd / root for root in extra), cwd, *((cwd / gym_root,) if gym_root else ()), assets.folder("services"))


def read_layers(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    order: MergeOrder | None = None,
    gym_root: Path | None = None,
    gym_version: str | None = None,
) -> Layers:
    """Read every layer that the arguments name.

    Without an ``order`` here or in the configuration, it is as in ``gym_version``, or the release in ``gym_root``.

    Raises:
        InputError: an argument is neither a configuration nor an override, or a file is missing.
        ConfigError: a file is not valid YAML, or includes a file that is missing.
    """
    roots = search_roots(cwd, environ, gym_root)
    overrides = [parse_override(argument) for argument in arguments if _is_override(argument, cwd)]
    env = _env_file(roots, cwd)
    named = [argument for argument in arguments if not _is_override(argument, cwd)]
    named += _config_paths(overrides, None if named else env, environ)
    if not named:
        raise _no_configuration(overrides)
    layers = tuple(override_document(item) for item in overrides if item.path != (_PATHS,))
    tree = _read_tree(named, Finder(roots, cwd), environ)
    documents = [*tree.documents.values(), *((env,) if env else ()), *layers]
    version = chosen_version(gym_version, cwd / gym_root if gym_root else None)
    requested = order or _order_of(documents)
    order = requested or merge_order_of(version)
    return Layers(
        files=tuple(flatten(tree, order)),
        env=env,
        overrides=layers,
        roots=roots,
        order=order,
        includes=tree.includes(),
        ordered_as=version if version and not requested else "",
        recipes=tuple(tree.recipes.values()),
    )


def name_a_configuration(arguments: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> bool:
    """Whether a command line or ``env.yaml`` names a file, or tries to; overrides alone do not."""
    for argument in arguments:
        if not _is_override(argument, cwd) or argument.partition("=")[0].lstrip("+") == _PATHS:
            return True
    env = _env_file(search_roots(cwd, environ, None), cwd)
    return env is not None and _PATHS in env.data


def _no_configuration(overrides: Sequence[Override]) -> InputError:
    """What to raise where no argument names a file."""
    emptied = next((f"{item.text} is empty" for item in overrides if item.path == (_PATHS,)), "")
    return InputError(
        f"{emptied} (is it using an unset shell variable?)" if emptied else "no configuration was given",
        "give one or more YAML files, a directory that contains a stack, or +config_paths=[a.yaml,b.yaml]",
    )


def _is_override(argument: str, cwd: Path) -> bool:
    """A file whose name holds ``=`` is a file; one that begins with ``+`` is named ``./+x``."""
    if not looks_like_override(argument):
        return False
    return argument.startswith(("+", "~")) or not os.path.lexists(cwd / argument)


def _env_file(roots: Sequence[Path], cwd: Path) -> Document | None:
    """The first ``env.yaml`` of the search roots; only one is read."""
    place = next((root / "env.yaml" for root in roots if (root / "env.yaml").is_file()), None)
    if place:
        return read_document(place, cwd)
    return None


def _config_paths(overrides: Sequence[Override], env: Document | None, environ: Mapping[str, str]) -> list[str]:
    """``config_paths`` of the command line, else of ``env.yaml``; a comma-separated text counts as a list."""
    if env:
        from_env = env.data.pop(_PATHS, None)
    else:
        from_env = None
    if env:
        values = env.data
    else:
        values = {}
    for override in reversed(overrides):
        if override.path == (_PATHS,):
            overridden = {str(item.path[0]): item.value for item in overrides if len(item.path) == 1}
            return _paths(override.value, f"command line ({override.text})", {**values, **overridden}, environ)
    if env is None or from_env is None:
        return []
    return _paths(from_env, str(env.marks[_PATHS,]), values, environ)


def _paths(value: Any, where: str, values: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """The paths of a list; interpolations in them are resolved as NeMo Gym does, from what stands in the same place."""
    if isinstance(value, str):
        value = _resolved(value, where, values, environ)
    if isinstance(value, str):
        items = [part.strip() for part in value.split(",")]
    else:
        items = value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ConfigError([Problem(where, "config_paths is not a list of paths", "write [a.yaml,b.yaml]")])
    return [_resolved(item, where, values, environ) for item in items if item]


def _resolved(text: str, where: str, values: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    try:
        return resolve_text(text, {key: value for key, value in values.items() if key != _PATHS}, environ)
    except ValueError as error:
        hint = "set the variable, or write the path without it"
        raise ConfigError([Problem(where, f"{text}: {error}", hint)]) from error


def _order_of(documents: Sequence[Document]) -> MergeOrder | None:
    """``gymctl.merge_order`` as the layers set it (it decides their order, so the last one read wins)."""
    order: MergeOrder | None = None
    for document in documents:
        own = document.data.get(OWN_KEY)
        if isinstance(own, dict):
            written = own.get("merge_order")
        else:
            written = None
        if written is None:
            continue
        if written not in list(MergeOrder):
            where = str(document.marks.get((OWN_KEY, "merge_order"), document.name))
            hint = did_you_mean(written, MergeOrder) or f"one of {', '.join(MergeOrder)}"
            raise ConfigError([Problem(where, f"merge_order is {written!r}", hint)])
        order = MergeOrder(written)
    return order


def _read_tree(named: Sequence[str], finder: Finder, environ: Mapping[str, str]) -> Tree:
    """Read files breadth first, each once, and record which file includes which."""
    tree = Tree(list(dict.fromkeys(path for text in named for path in finder.find(text))))
    pending = list(tree.named)
    for path in pending:
        if path in tree.documents:
            continue
        document = read_document(path, finder.cwd)
        if recipe := read_recipe(document, path, finder.cwd):
            tree.recipes[path] = recipe
            document = recipe.document
        tree.documents[path] = document
        tree.children[path] = _children(document, path, finder, environ)
        pending += tree.children[path]
    return tree


def _children(document: Document, path: Path, finder: Finder, environ: Mapping[str, str]) -> list[Path]:
    if _PATHS not in document.data:
        return []
    texts = _paths(document.data.pop(_PATHS) or [], str(document.marks[_PATHS,]), document.data, environ)
    children: list[Path] = []
    for index, text in enumerate(texts):
        try:
            children += finder.find(text, beside=path.parent)
        except InputError as error:
            where = str(document.marks.get((_PATHS, index)) or document.marks[_PATHS,])
            raise ConfigError([Problem(where, error.message, error.hint)]) from error
    return children


@dataclass
class Tree:
    """The files named by the user, all documents (breadth first), and the files each includes."""

    named: list[Path]
    documents: dict[Path, Document] = field(default_factory=dict)
    children: dict[Path, list[Path]] = field(default_factory=dict)
    recipes: dict[Path, Recipe] = field(default_factory=dict)

    def includes(self) -> Mapping[str, frozenset[str]]:
        """For every file the names of those it brings in, near and far."""
        return {
            self.documents[path].name: frozenset(self.documents[child].name for child in self._below(path))
            for path, below in self.children.items()
            if below
        }

    def _below(self, path: Path) -> set[Path]:
        paths: set[Path] = set()
        pending = list(self.children[path])
        while pending:
            here = pending.pop()
            if here != path and here not in paths:
                paths.add(here)
                pending += self.children[here]
        return paths


def flatten(tree: Tree, order: MergeOrder) -> Iterator[Document]:
    """The documents in merge order, each once: breadth first, or every file right after those it includes.

    A recipe overrides the files that it includes in either order: NeMo RL passes its block to NeMo Gym as overrides.
    """
    if order is MergeOrder.INCLUDES_LAST:
        yield from (document for path, document in tree.documents.items() if path not in tree.recipes)
        yield from (recipe.document for recipe in tree.recipes.values())
        return
    done: set[Path] = set()
    for path in tree.named:
        yield from _included_first(path, tree, done)


def _included_first(path: Path, tree: Tree, done: set[Path]) -> Iterator[Document]:
    if path not in done:
        done.add(path)
        for child in tree.children[path]:
            yield from _included_first(child, tree, done)
        yield tree.documents[path]
