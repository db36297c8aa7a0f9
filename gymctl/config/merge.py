"""Merge layers with OmegaConf, keep who set what, and resolve every interpolation, reporting all that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gymctl.config.documents import Document
from gymctl.config.locations import KeyPath, Origins, dotted
from gymctl.config.model import RESERVED_KEYS, ServerKind
from gymctl.errors import ConfigError, Problem

MISSING = "???"
_KINDS = frozenset(kind.value for kind in ServerKind)


def merge_layers(layers: Sequence[Document]) -> tuple[DictConfig, Origins]:
    """Merge in order, later wins: mappings deep, lists replaced whole (OmegaConf's rules, which are upstream's)."""
    origins = Origins()
    merged: Any = OmegaConf.create({})
    for layer in layers:
        document = _expand_shorthand(layer, merged)
        try:
            merged = OmegaConf.unsafe_merge(merged, OmegaConf.create(document.data))
        except OmegaConfBaseException as error:
            raise ConfigError([Problem(document.name, f"cannot be merged: {_first_line(error)}")]) from error
        for path, place in document.marks.items():
            origins.add(path, place)
    if not isinstance(merged, DictConfig):  # pragma: no cover - a merge of mappings is a mapping
        raise ConfigError([Problem("", "the merged configuration is not a mapping")])
    return merged, origins


def _expand_shorthand(layer: Document, merged: DictConfig) -> Document:
    """``policy_model.vllm_model.base_url=x`` means the key below ``responses_api_models``.

    Upstream accepts this spelling (its documentation prints it) and does nothing with it.
    """
    moved: dict[str, Any] = {}
    marks = dict(layer.marks)
    for name, value in layer.data.items():
        present = merged.get(name) if name in merged and not OmegaConf.is_missing(merged, name) else None
        if not isinstance(value, dict) or not isinstance(present, DictConfig) or _KINDS & value.keys():
            continue
        kind = next((key for key in _KINDS if isinstance(present.get(key), DictConfig)), None)
        if kind and value and value.keys() <= present[kind].keys() and not value.keys() & present.keys():
            moved[name] = {kind: value}
            for path in [path for path in marks if path[0] == name and len(path) > 1]:
                marks[(name, kind, *path[1:])] = marks.pop(path)
    return replace(layer, data={**layer.data, **moved}, marks=marks) if moved else layer


def resolve(merged: DictConfig, origins: Origins) -> dict[str, Any]:
    """The merged configuration as plain data with every interpolation replaced.

    Raises:
        ConfigError: every ``???`` that nobody set and every interpolation that leads nowhere, each with its place.
    """
    problems: list[Problem] = []
    raw = OmegaConf.to_container(merged, resolve=False)
    assert isinstance(raw, dict)  # noqa: S101 - narrows the type: a DictConfig makes a dict
    resolved = _resolve_node(raw, merged, (), origins, problems)
    if problems:
        raise ConfigError(problems)
    return dict(resolved)


def _resolve_node(raw: Any, node: Any, path: KeyPath, origins: Origins, problems: list[Problem]) -> Any:
    if isinstance(raw, dict):
        return {key: _resolve_item(value, node, key, (*path, key), origins, problems) for key, value in raw.items()}
    return [_resolve_item(value, node, index, (*path, index), origins, problems) for index, value in enumerate(raw)]


def _resolve_item(raw: Any, parent: Any, key: Any, path: KeyPath, origins: Origins, problems: list[Problem]) -> Any:
    if isinstance(raw, dict | list):
        return _resolve_node(raw, parent._get_node(key), path, origins, problems)
    if not isinstance(raw, str) or (raw != MISSING and "${" not in raw):
        return raw
    where = str(origins.of(path) or "configuration")
    if raw == MISSING:
        problems.append(Problem(where, f"{dotted(path)} has no value (???)", f"set it: ++{dotted(path)}=VALUE"))
        return None
    try:
        value = parent[key]
    except OmegaConfBaseException as error:
        problems.append(_interpolation_problem(raw, path, where, error))
        return None
    return OmegaConf.to_container(value, resolve=True) if isinstance(value, DictConfig | ListConfig) else value


def _interpolation_problem(raw: str, path: KeyPath, where: str, error: OmegaConfBaseException) -> Problem:
    reason = _first_line(error)
    if "Interpolation key" in reason or "KeyError" in reason:
        wanted = raw[2:-1] if raw.startswith("${") and raw.endswith("}") and raw.count("${") == 1 else raw
        hint = f"set {wanted} in env.yaml, or on the command line: ++{wanted}=VALUE"
        return Problem(where, f"{dotted(path)} refers to {raw}, which is not set", hint)
    return Problem(where, f"{dotted(path)}: {raw} cannot be resolved: {reason}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_server_entry(name: str, value: Any) -> bool:
    """Whether a top-level entry is meant as a server: not reserved, and it has one of the three kind keys."""
    return name not in RESERVED_KEYS and isinstance(value, dict) and bool(_KINDS & value.keys())
