r"""A recipe of NeMo RL as a configuration: ``env.nemo_gym`` of it, with the files that its ``defaults`` name.

NeMo RL merges the files, resolves the whole recipe, and passes the block to NeMo Gym's parser. References to the rest
of the recipe are therefore replaced here; everything else (``${oc.env:NAME}``, ``\${policy_base_url}``) is left to the
configuration that the block becomes a part of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl.config.diagnostics import KeyPath, Location, display_path, dotted
from gymctl.config.nested import value_at
from gymctl.config.sources import nemo_rl
from gymctl.config.sources.interpolation_size import MOST_REFERENCES
from gymctl.config.sources.resolve import CALCULATION
from gymctl.config.sources.yaml_documents import Document, read_document
from gymctl.config.vocabulary import is_server_entry
from gymctl.errors import ConfigError, Problem

_DEFAULTS = "defaults"
_REPLACES = "_override_"  # in a mapping: it replaces the one of the default instead of merging with it
_PATHS = "config_paths"
_SHARDS = "shards"  # of the servers over several nodes; replicas of a shard are not used
_BLOCK: KeyPath = ("env", "nemo_gym")
_REFERENCE = re.compile(r"(\\*)\$\{\s*(\.*[\w-]+(?:\.[\w-]+|\[\d+\])*)\s*\}")
_CALL = re.compile(rf"\$\{{\s*({'|'.join(nemo_rl.TRAINER_RESOLVERS)})\s*:")
_ESCAPED = re.compile(r"(\\+)\$\{")


@dataclass(frozen=True)
class Recipe:
    """The block of a recipe as a layer of configuration."""

    document: Document
    unused: tuple[str, ...]
    """Top-level keys of the recipe, and keys of the block that only NeMo RL reads."""


def read_recipe(document: Document, path: Path, cwd: Path) -> Recipe | None:
    """The recipe that a file is; None for any other file.

    Args:
        document: the file at ``path``.
        path: the file; its ``defaults`` are relative to its directory.
        cwd: directory that paths in messages are relative to.

    Raises:
        ConfigError: a file that ``defaults`` names cannot be read or refers to itself, or a reference has no target.
    """
    if any(is_server_entry(str(name), value) for name, value in document.data.items()):
        return None
    if not _default_names(document.data) and _block_of(document.data) is None:
        return None
    whole, marks = _merged_chain(document, path, cwd, ())
    block = _block_of(whole)
    if block is None:
        return None
    resolver = _References(whole, marks)
    data = {
        key: resolver.value(value, (*_BLOCK, key))
        for key, value in _with_shards(block).items()
        if key not in nemo_rl.TRAINER_KEYS and key != _REPLACES
    }
    data = {**_policy(whole, resolver), **data}
    unused = (*(str(key) for key in whole if key != "env"), *(key for key in block if key in nemo_rl.TRAINER_KEYS))
    return Recipe(Document(document.name, data, _marks_of_block(marks)), unused)


def _marks_of_block(marks: Mapping[KeyPath, Location]) -> dict[KeyPath, Location]:
    """Where the keys of the block were written; files of shards where the shards were."""
    own = {place[2:]: location for place, location in marks.items() if place[:2] == _BLOCK and len(place) > 2}
    if shards := own.get((_SHARDS,)):
        own.setdefault((_PATHS,), shards)
    return own


def recipe_note(recipe: Recipe) -> str:
    """What of a recipe is used and what is not."""
    message = f"this is a recipe of NeMo RL; only its {dotted(_BLOCK)} is used"
    if recipe.unused:
        return f"{message}. Not used: {', '.join(recipe.unused)}"
    return message


def _with_shards(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block with the files and overrides of its shards: what NeMo RL starts on several nodes is one stack here."""
    shards = block.get(_SHARDS)
    if not isinstance(shards, list) or not all(isinstance(shard, dict) for shard in shards):
        return block
    paths = [block.get(_PATHS), *(shard.get(_PATHS) for shard in shards)]
    listed = [path for item in paths if isinstance(item, list) for path in item]
    overrides = [block.get("common_overrides"), *(shard.get("overrides") for shard in shards)]
    whole = {**block, _PATHS: list(dict.fromkeys(listed))}
    for override in overrides:
        whole = _merged(whole, override or {})
    return whole


def _policy(whole: Mapping[str, Any], resolver: _References) -> dict[str, Any]:
    """What NeMo RL sets for the policy model, as far as the recipe has it: its address is known only at run time.

    The launcher of a recipe may set the model, which is null in the recipe then.
    """
    policy = whole.get("policy")
    if not isinstance(policy, dict):
        return {}
    settings: dict[str, Any] = {"policy_api_key": nemo_rl.TRAINER_POLICY_KEY}
    if isinstance(policy.get("model_name"), str):
        settings["policy_model_name"] = resolver.value(policy["model_name"], ("policy", "model_name"))
    return settings


def _block_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    environment = data.get("env")
    block = environment.get("nemo_gym") if isinstance(environment, dict) else None
    return block if isinstance(block, dict) else None


def _default_names(data: Mapping[str, Any]) -> list[str]:
    """The files under ``defaults``, first to last; empty where that key is something else."""
    names = data.get(_DEFAULTS)
    if isinstance(names, str):
        return [names]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    return []


def _merged_chain(
    document: Document, path: Path, cwd: Path, above: tuple[Path, ...]
) -> tuple[dict[str, Any], dict[KeyPath, Location]]:
    """A file merged over its defaults, without ``defaults``, and where each key was written; the file's own win."""
    data: dict[str, Any] = {}
    marks: dict[KeyPath, Location] = {}
    for name in _default_names(document.data):
        place = (path.parent / name).resolve()
        if place in (*above, path.resolve()):
            where = str(document.marks.get((_DEFAULTS,)) or document.name)
            raise ConfigError(
                [Problem(where, f"{display_path(place, cwd)} includes itself", "remove it from defaults")]
            )
        parent, parent_marks = _merged_chain(read_document(place, cwd), place, cwd, (*above, path.resolve()))
        data = _merged(data, parent)
        marks |= parent_marks
    own = {key: value for key, value in document.data.items() if key != _DEFAULTS}
    return _merged(data, own), marks | document.marks


def _merged(base: Any, over: Any) -> Any:
    """Mappings merge key by key; anything else, and a mapping with ``_override_: true``, replaces."""
    if not isinstance(over, dict):
        return over
    own = {key: value for key, value in over.items() if key != _REPLACES}
    if not isinstance(base, dict) or over.get(_REPLACES) is True:
        return {key: _merged(None, value) for key, value in own.items()}
    return {**base, **{key: _merged(base.get(key), value) for key, value in own.items()}}


@dataclass
class _References:
    """Replaces references to keys of a recipe, at most ``MOST_REFERENCES`` of them."""

    whole: Mapping[str, Any]
    marks: Mapping[KeyPath, Location]
    replaced: int = field(default=0, init=False)

    def value(self, value: Any, place: KeyPath, within: tuple[KeyPath, ...] = ()) -> Any:
        """The value at ``place`` with its references replaced; ``within`` are those that led to it."""
        if isinstance(value, dict):
            return {key: self.value(item, (*place, key), within) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*place, index), within) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, place, within)
        return value

    def _text(self, text: str, place: KeyPath, within: tuple[KeyPath, ...]) -> Any:
        match = _REFERENCE.fullmatch(text)
        if match and not match[1] and self._is_own(match[2], place):
            return self._target(match[2], place, within)
        return _CALL.sub(rf"${{{CALCULATION}\1:", "".join(self._parts(text, place, within)))

    def _parts(self, text: str, place: KeyPath, within: tuple[KeyPath, ...]) -> Iterator[str]:
        end = 0
        for match in _REFERENCE.finditer(text):
            if len(match[1]) % 2 or not self._is_own(match[2], place):
                continue
            yield _unescaped(text[end : match.start()])
            yield match[1][: len(match[1]) // 2] + str(self._target(match[2], place, within))
            end = match.end()
        yield _unescaped(text[end:])

    def _is_own(self, name: str, place: KeyPath) -> bool:
        """Whether a reference is one to the recipe: a relative one in the block may be to what other files set."""
        path = _key_path(name, place)
        if name.startswith(".") and place[: len(_BLOCK)] == _BLOCK:
            return _exists(self.whole, path)
        return path[0] in self.whole

    def _target(self, name: str, place: KeyPath, within: tuple[KeyPath, ...]) -> Any:
        self.replaced += 1
        path = _key_path(name, place)
        if path in within or self.replaced > MOST_REFERENCES:
            raise self._wrong(place, f"${{{name}}} refers to itself or to too many values", "remove a reference")
        if not _exists(self.whole, path):
            raise self._wrong(place, f"refers to {name}, which the recipe does not set", f"set {dotted(path)}")
        return self.value(value_at(self.whole, path), path, (*within, path))

    def _wrong(self, place: KeyPath, message: str, hint: str) -> ConfigError:
        where = next(
            (str(self.marks[place[:cut]]) for cut in range(len(place), 0, -1) if place[:cut] in self.marks), ""
        )
        return ConfigError([Problem(where, f"{dotted(place)}: {message}", hint)])


def _key_path(name: str, place: KeyPath) -> KeyPath:
    """The path of a reference at ``place``: ``a.b[0]`` is ``a``, ``b``, 0; ``.c`` is next to ``place``."""
    relative = name.lstrip(".")
    parts = re.findall(r"\[\d+\]|[^.\[\]]+", relative)
    path = tuple(int(part[1:-1]) if part.startswith("[") else part for part in parts)
    dots = len(name) - len(relative)
    if dots:
        return (*place[: max(0, len(place) - dots)], *path)
    return path


def _exists(value: Any, path: KeyPath) -> bool:
    for part in path:
        if isinstance(value, list):
            if not isinstance(part, int) or part >= len(value):
                return False
        elif not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _unescaped(text: str) -> str:
    """An escaped reference is one for NeMo Gym's parser, which reads the resolved recipe."""
    return _ESCAPED.sub(lambda match: match[1][: len(match[1]) // 2] + "${" if len(match[1]) % 2 else match[0], text)
