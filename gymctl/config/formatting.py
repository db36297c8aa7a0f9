"""A configuration as text for people and scripts: all of it, one value explained, the references between servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from gymctl.config.diagnostics import dotted
from gymctl.config.model import Config
from gymctl.config.secrets import mask

if TYPE_CHECKING:
    from gymctl.config.blocks.key_docs import KeyDoc
    from gymctl.config.explain import Explanation

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def show(config: Config, form: str = "yaml") -> str:
    """The resolved configuration, credentials masked, as ``yaml`` or ``json``."""
    whole = mask(dict(config.resolved), config.secrets)
    if form == "json":
        return json.dumps(whole, indent=2, ensure_ascii=False, default=str) + "\n"
    return str(yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def explanation_text(explanation: Explanation) -> str:
    """An explanation as lines."""
    return "\n".join(_explained(explanation, "")) + "\n"


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation as plain data."""
    return {
        "path": explanation.path,
        "value": explanation.value,
        "set_by": explanation.won.place if explanation.won else None,
        "settings": [{"place": setting.place, "written": setting.written} for setting in explanation.settings],
        "refers_to": [explanation_json(item) for item in explanation.refers_to],
        "inside": [explanation_json(item) for item in explanation.inside],
        **(_doc_json(explanation.doc) if explanation.doc else {}),
    }


def _doc_json(doc: KeyDoc) -> dict[str, Any]:
    return {"must_be": doc.value, "default": doc.default, "description": doc.description}


def _doc_lines(doc: KeyDoc, margin: str) -> Iterator[str]:
    if doc.description:
        yield f"{margin}  {doc.description}"
    if doc.default is not None:
        default = f"; default {doc.default}"
    else:
        default = ""
    if doc.value or default:
        yield f"{margin}  must be {doc.value or 'anything'}{default}"


def _explained(explanation: Explanation, margin: str) -> Iterator[str]:
    if not explanation.is_set:
        yield f"{margin}{explanation.path} is not set"
    elif not explanation.inside:
        yield f"{margin}{explanation.path} = {_inline(explanation.value)}"
    else:
        yield f"{margin}{explanation.path}:"
    for setting in explanation.settings[-1:]:
        written = setting.written
        if written != explanation.value:
            as_what = f" as {_inline(written)}"
        else:
            as_what = ""
        yield f"{margin}  set by {setting.place}{as_what}"
    for setting in reversed(explanation.settings[:-1]):
        yield f"{margin}  overrides {setting.place}: {_inline(setting.written)}"
    if explanation.doc is not None:
        yield from _doc_lines(explanation.doc, margin)
    for other in explanation.refers_to:
        yield from _explained(other, margin + "    ")
    for leaf in explanation.inside:
        yield from _explained(leaf, margin + "  ")


def _inline(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def graph_text(config: Config) -> str:
    """Every server and those it refers to, one line each."""
    lines = []
    for server in config.servers.values():
        lines.append(f"{server.name} ({server.kind.value}/{server.implementation})")
        lines += [f"  {field} -> {target}" for field, target in _edges(config, server.name)]
    return "\n".join(lines) + "\n"


def graph_mermaid(config: Config) -> str:
    """The same as a Mermaid flowchart."""
    names = {name: f"s{index}" for index, name in enumerate(config.servers)}
    lines = ["flowchart LR"]
    for server in config.servers.values():
        label = server.name.replace('"', "#quot;")
        lines.append(f'  {names[server.name]}["{label}<br/>{server.kind.value}/{server.implementation}"]')
    for name, identity in names.items():
        for field, target in _edges(config, name):
            lines.append(f'  {identity} -->|"{field}"| {names[target]}')
    return "\n".join(lines) + "\n"


def graph_json(config: Config) -> dict[str, Any]:
    """The same as plain data: ``servers`` and ``references``."""
    return {
        "servers": [
            {"name": server.name, "kind": server.kind.value, "implementation": server.implementation}
            for server in config.servers.values()
        ],
        "references": [
            {"from": name, "field": field, "to": target}
            for name in config.servers
            for field, target in _edges(config, name)
        ],
    }


def _edges(config: Config, name: str) -> list[tuple[str, str]]:
    return [(dotted(reference.path), reference.name) for reference in config.servers[name].references]
