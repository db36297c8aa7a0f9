"""Merge layers and keep who set what. The rules are OmegaConf's, which are NeMo Gym's, on plain data.

Mappings merge deep, lists and scalars replace, ``???`` never overrides a value. A property test holds this to
``OmegaConf.merge``, which needs twenty times as long for a recipe of many files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, NoteCode, dotted
from gymctl.config.nested import copied, follow
from gymctl.config.sources.yaml_documents import Document
from gymctl.config.vocabulary import MISSING, ServerKind
from gymctl.errors import Problem

_KINDS = frozenset(kind.value for kind in ServerKind)


def merge_layers(
    layers: Sequence[Document], includes: Mapping[str, frozenset[str]], findings: Findings
) -> dict[str, Any]:
    """Merge in order, later wins; interpolations stay text. Places go to ``findings.origins``."""
    merged: dict[str, Any] = {}
    for layer in layers:
        document = _expand_shorthand(layer, merged)
        _Merger(document, merged, includes, findings).merge(merged, document.data, ())
    return merged


@dataclass
class _Merger:
    """Merges one document into ``whole``."""

    document: Document
    whole: dict[str, Any]
    includes: Mapping[str, frozenset[str]]
    findings: Findings

    def merge(self, old: dict[Any, Any], new: Mapping[Any, Any], path: KeyPath) -> None:
        """Merge ``new`` into ``old``, the mapping at ``path`` of the whole."""
        for key, value in new.items():
            here = (*path, key)
            was = old.get(key)
            if isinstance(value, dict):
                self._merge_mapping(old, was, value, here)
            elif isinstance(value, list) and isinstance(was, dict):
                self._mismatch(here, "a list", "a mapping")
            elif not (value == MISSING and key in old):
                self._note_loss(was, value, here)
                old[key] = copied(value)
                self._record(value, here)

    def _merge_mapping(self, parent: dict[Any, Any], was: Any, value: Mapping[Any, Any], path: KeyPath) -> None:
        if isinstance(was, str):  # a reference to a mapping is merged into, as a copy of what it refers to
            was = copied(follow(was, self.whole))
        if isinstance(was, list):
            self._mismatch(path, "a mapping", "a list")
            return
        if isinstance(was, dict):
            parent[path[-1]] = was
        else:
            parent[path[-1]] = {}
        self._record(value, path)
        self.merge(parent[path[-1]], value, path)

    def _record(self, value: Any, path: KeyPath) -> None:
        if place := self.document.marks.get(path):
            self.findings.origins.add(path, place, value)
        for key, item in enumerate(value) if isinstance(value, list) else ():
            self._record_item(item, (*path, key))

    def _record_item(self, value: Any, path: KeyPath) -> None:
        self._record(value, path)
        for key, item in value.items() if isinstance(value, dict) else ():
            self._record_item(item, (*path, key))

    def _mismatch(self, path: KeyPath, is_now: str, was: str) -> None:
        here = self.document.marks.get(path) or self.document.name
        message = f"{dotted(path)} is {is_now} here but {was} at {self.findings.place(path)}"
        self.findings.problems.append(Problem(str(here), message, "make them the same type, or rename one"))

    def _note_loss(self, old: Any, value: Any, path: KeyPath) -> None:
        """Notes on results that a reader of this file may not expect: an overridden includer, or lost siblings."""
        was = self.findings.origins.of(path)
        now = self.document.marks.get(path)
        if old is None or old in (value, MISSING) or was is None or now is None or not now.line:
            return  # new, unchanged, or set by an argument: that is meant
        if now.file in self.includes.get(was.file, ()):
            self.findings.note(
                NoteCode.INCLUDE_WON,
                path,
                f"{dotted(path)} is overridden at {now}, in a file included by this one",
                "--merge-order includes-first (or gymctl: {merge_order: includes-first}) gives this file precedence",
            )
        elif dropped := _dropped(old, value):
            message = f"{dotted(path)} replaces the whole value from {was}; lost: {dropped}"
            self.findings.note_at(NoteCode.DROPPED, str(now), message, "repeat the entries to keep")


def merge_plain(old: dict[Any, Any], new: Mapping[Any, Any], path: KeyPath, findings: Findings) -> None:
    """Merge ``new`` into ``old``, the mapping at ``path``, by the same rules; no places are recorded."""
    _Merger(Document("", {}), {}, {}, findings).merge(old, new, path)


def _dropped(old: Any, new: Any) -> str:
    """What ``old`` had and ``new`` has not, when a list or mapping is replaced whole; empty when nothing is lost."""
    if isinstance(old, dict):
        return ", ".join(map(str, old))
    if not isinstance(old, list) or not isinstance(new, list):
        return ""
    names = [item.get("name", f"item {index}") for index, item in enumerate(old) if isinstance(item, dict)]
    new_names = {item.get("name") for item in new if isinstance(item, dict)}
    return ", ".join(str(name) for name in names if name not in new_names)


def _expand_shorthand(layer: Document, merged: Mapping[str, Any]) -> Document:
    """``policy_model.vllm_model.base_url=x`` means the key below ``responses_api_models``.

    Upstream accepts this spelling (its documentation prints it) and does nothing with it. ``model_name``, printed
    there too, is then whichever of ``model`` and ``openai_model`` the server has.
    """
    moves = {name: kind for name, value in layer.data.items() if (kind := _shorthand_kind(value, merged.get(name)))}
    if not moves:
        return layer

    def spelt(path: KeyPath) -> KeyPath:
        """The full path of the field that a shorthand path names."""
        if len(path) < 2 or path[0] not in moves:
            return path
        name, implementation, *rest = map(str, path[:3])
        if rest[:1] == ["model_name"]:
            rest[0] = _model_key(merged[str(name)][moves[name]][implementation])
        return (name, moves[name], implementation, *rest, *path[3:])

    data = dict(layer.data)
    for name, kind in moves.items():
        below = {
            implementation: {spelt((name, implementation, key))[3]: value for key, value in fields.items()}
            for implementation, fields in layer.data[name].items()
        }
        data[name] = {kind: below}
    marks = {spelt(path): place for path, place in layer.marks.items()}
    marks |= {(name, kind): layer.marks[name,] for name, kind in moves.items()}
    return replace(layer, data=data, marks=marks)


def _shorthand_kind(value: Any, present: Any) -> str | None:
    """The kind key that ``value`` leaves out, when all it holds are fields of implementations that are there."""
    if not isinstance(value, dict) or not isinstance(present, dict):
        return None
    kind = next((key for key in _KINDS if isinstance(present.get(key), dict)), None)
    names = value.keys()
    if kind is None or not names or names & (_KINDS | present.keys()):
        return None
    if not names <= present[kind].keys():
        return None
    if all(isinstance(fields, dict) for fields in (*value.values(), *present[kind].values())):
        return kind
    return None


def _model_key(fields: Mapping[str, Any]) -> str:
    return next((key for key in ("model_name", "model", "openai_model") if key in fields), "model_name")
