"""JSON Schema of a configuration file, for editors: completion, descriptions, red lines. It is made of the blocks.

It is laxer than loading, since one file is rarely the whole: nothing is required, and a value may be an interpolation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gymctl import assets
from gymctl.config.blocks.server_fields import FIELDS_OF, OuterFields, ServerFields
from gymctl.config.blocks.stack_keys import StackKeys
from gymctl.config.settings.server_code import Implementation, implementation_of
from gymctl.config.settings.server_settings import settings_model
from gymctl.config.vocabulary import BLOCK_KEYS, ServerKind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LATER = {"type": ["string", "null"], "pattern": r"\$\{|^\?\?\?$"}  # an interpolation, a value still to be given, none
_REFERENCE = {"$ref": "#/$defs/later"}
_KEPT = ("description", "default")
_MEANS_SERVER = {"type": "object", "anyOf": [{"required": [kind.value]} for kind in ServerKind]}


def schema() -> dict[str, Any]:
    """The schema as plain data."""
    definitions: dict[str, Any] = {"later": _LATER, "entry": _entry()}
    top = _model_schema(StackKeys, definitions)
    definitions[ServerFields.__name__] = _model_schema(ServerFields, definitions)
    for kind, model in FIELDS_OF.items():
        definitions[kind.value] = _kind(kind, model, definitions)
    properties = top["properties"]
    return {
        "$schema": _DIALECT,
        "title": "Configuration of a NeMo Gym stack",
        "type": "object",
        "properties": {**properties, **{key: _block_or_server(key, properties[key]) for key in BLOCK_KEYS}},
        "additionalProperties": {"$ref": "#/$defs/entry"},
        "$defs": definitions,
    }


def _block_or_server(key: str, block: dict[str, Any]) -> dict[str, Any]:
    """A key that may also be the name of a server; ``vllm:`` may be several blocks by name."""
    entry = {"$ref": "#/$defs/entry"}
    written = block
    if key == "vllm":
        one = {"$ref": "#/$defs/VllmKeys"}
        several = {"type": ["object", "null"], "additionalProperties": one}
        written = {"if": {"type": "object", "required": ["model"]}, "then": one, "else": several}
    return {"description": block["description"], "if": _MEANS_SERVER, "then": entry, "else": written}


def _entry() -> dict[str, Any]:
    """Anything, but under one of the kind keys exactly one server."""
    kinds = {kind.value: {"$ref": f"#/$defs/{kind.value}"} for kind in ServerKind}
    outer = {key: {"$ref": f"#/$defs/ServerFields/properties/{key}"} for key in OuterFields.model_fields}
    return {
        "if": _MEANS_SERVER,
        "then": {"properties": {**outer, **kinds}},
    }


def _kind(kind: ServerKind, model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    definitions[model.__name__] = _model_schema(model, definitions)
    fields = {"$ref": f"#/$defs/{model.__name__}"}
    known = {}
    for folder, code in bundled_servers(kind):
        settings = _settings_schema(code, definitions)
        known[folder.name] = {"allOf": [fields, {"properties": settings}]}
    one = {"type": "object", "maxProperties": 1, "properties": known, "additionalProperties": fields}
    return {"description": f"One of the {kind.value}, by the name of its directory.", "anyOf": [one, _REFERENCE]}


def _settings_schema(code: Implementation, definitions: dict[str, Any]) -> dict[str, Any]:
    model = settings_model(code.settings, code.fields)
    properties: dict[str, Any] = _model_schema(model, definitions)["properties"]
    for setting in code.settings:
        for name in setting.names:
            properties[name].pop("default", None)
    return properties


@lru_cache(maxsize=8)
def bundled_servers(kind: ServerKind) -> tuple[tuple[Path, Implementation], ...]:
    """The folders of the bundled servers of a kind, and what their code reads."""
    folders = sorted(path.parent for path in assets.folder("services").glob(f"{kind.value}/*/app.py"))
    servers = ((folder, implementation_of(folder, "app.py")) for folder in folders)
    return tuple((folder, code) for folder, code in servers if code)


def _model_schema(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The lax schema of a block; those of blocks in it are added to ``definitions``."""
    whole = model.model_json_schema()
    for name, inner in whole.pop("$defs", {}).items():
        definitions.setdefault(name, _lax(inner))
    return _lax(whole)


def _lax(block: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a block in which nothing is required, and everything may be an interpolation or null."""
    lax: dict[str, Any] = {
        "type": ["object", "null"],
        "description": block.get("description", ""),
        "properties": {key: _lax_property(value) for key, value in block.get("properties", {}).items()},
    }
    if block.get("additionalProperties") is False:
        lax |= {"patternProperties": {"^x-": {}}, "additionalProperties": False}
    return lax


def _lax_property(value: Mapping[str, Any]) -> dict[str, Any]:
    annotations = {key: value[key] for key in _KEPT if value.get(key) is not None}
    rest = {key: item for key, item in value.items() if key not in (*_KEPT, "title")}
    options = list(_options(rest))
    if options:
        return {**annotations, "anyOf": [*options, _REFERENCE]}
    return annotations


def _options(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for option in value.get("anyOf", [value] if value else []):
        if option.get("type") != "null":
            yield _later_items(option)


def _later_items(option: Mapping[str, Any]) -> dict[str, Any]:
    """Items of lists and values of mappings may be interpolations too."""
    lax = dict(option)
    for key in ("items", "additionalProperties"):
        if isinstance(lax.get(key), dict):
            lax[key] = {"anyOf": [lax[key], _REFERENCE]}
    return lax
