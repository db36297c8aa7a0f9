"""JSON Schema of a configuration file, for editors: completion, descriptions, red lines.

It is laxer than loading, since one file is rarely the whole: nothing is required, and a value may be an interpolation.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config.checks import DATASET_TYPES, DOMAINS, LICENSES
from gymctl.config.choices import MergeOrder
from gymctl.config.container_settings import container_schema
from gymctl.config.diagnostics import CODES
from gymctl.config.placement import GROUPS
from gymctl.config.ray import KEYS as RAY_KEYS
from gymctl.config.server_code import implementation_of
from gymctl.config.vllm.blocks import KEYS as VLLM_KEYS
from gymctl.config.vocabulary import ALLOWED_HOSTS_KEY, MOST_REPLICAS, RESERVED_KEYS, RUNTIMES, ServerKind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LATER = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}  # an interpolation, or a value still to be given
_KIND_NAMES = [kind.value for kind in ServerKind]


def schema() -> dict[str, Any]:
    """The schema as plain data."""
    return {
        "$schema": _DIALECT,
        "title": "Configuration of a NeMo Gym stack",
        "type": "object",
        "properties": {**{key: {} for key in sorted(RESERVED_KEYS)}, **_globals()},
        "additionalProperties": {"$ref": "#/$defs/entry"},
        "$defs": {
            "entry": _entry(),
            "server": _server(),
            "reference": _reference(),
            "dataset": _dataset(),
            "port": _port(),
            "placement": _placement(),
            "resources": _resources(),
            "ray": _ray(),
            "vllm": _vllm(),
        },
    }


def _or_later(*options: dict[str, Any], **annotations: Any) -> dict[str, Any]:
    return {**annotations, "anyOf": [*options, _LATER]}


def _one_of(values: Any, description: str) -> dict[str, Any]:
    return _or_later({"enum": list(values)}, description=description)


def _globals() -> dict[str, Any]:
    text, truth = {"type": "string"}, {"type": "boolean"}
    port = {"$ref": "#/$defs/port"}
    codes = {"enum": [str(code) for code in CODES]}
    silence = {
        "anyOf": [codes, {"type": "array", "items": codes}],
        "description": "Notes that are not to be shown, by code.",
    }
    return {
        "config_paths": {
            "anyOf": [{"type": "array", "items": text}, text],
            "description": "Further files to load; by default they win over this one.",
        },
        "default_host": _or_later(text, description="Host of servers that name none."),
        "head_server": {
            "anyOf": [{"type": "object", "properties": {"host": text, "port": port}}, {"type": "null"}],
            "description": "The head server's address; each part may be left out (port 11000).",
        },
        "port_range_low": port,
        "port_range_high": port,
        "use_absolute_ip": _or_later(truth),
        "dry_run": _or_later(truth),
        "disallowed_ports": {"type": "array", "items": port},
        ALLOWED_HOSTS_KEY: {
            "type": ["array", "null"],
            "items": text,
            "description": "Further host names by which callers may reach servers.",
        },
        "error_on_almost_servers": _or_later(truth, description="false: leave out entries that are almost servers."),
        "runtime": _one_of([*RUNTIMES, None], "What every server runs on, unless it says otherwise itself."),
        "placement": {
            "allOf": [{"$ref": "#/$defs/placement"}],
            "properties": {group: {"$ref": "#/$defs/placement"} for group in GROUPS},
            "description": "Which machines everything may run on, or one kind of it.",
        },
        "ray_head_node_address": {
            "type": ["string", "null"],
            "description": "An existing Ray cluster, ray://host:10001.",
        },
        "ray": {"$ref": "#/$defs/ray"},
        "vllm": {
            "description": "A model that the stack serves itself, or several by name.",
            "if": {"type": "object", "required": ["model"]},
            "then": {"$ref": "#/$defs/vllm"},
            "else": {
                "type": ["object", "null"],
                "properties": {kind: {} for kind in _KIND_NAMES},  # a server of that name
                "additionalProperties": {"$ref": "#/$defs/vllm"},
            },
        },
        "silence": silence,
        "gymctl": {
            "type": "object",
            "description": "Settings of gymctl itself.",
            "properties": {"silence": silence, "merge_order": {"enum": [str(order) for order in MergeOrder]}},
        },
    }


def _ray() -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": "The stack's own Ray cluster, a head and nodes, for the checks of servers.",
        "properties": {
            **{key: {"description": what} for key, what in RAY_KEYS.items()},
            "placement": {"allOf": [{"$ref": "#/$defs/placement"}], "description": RAY_KEYS["placement"]},
            **{kind: {} for kind in _KIND_NAMES},  # a server of that name
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def _vllm() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: {"description": what} for key, (what, _) in VLLM_KEYS.items()},
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def _port() -> dict[str, Any]:
    return _or_later({"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "null"})


def _placement() -> dict[str, Any]:
    text = {"type": "string"}
    none = {"type": "null"}
    return {
        "type": ["object", "null"],
        "description": "Which machines it may run on; read for Swarm.",
        "properties": {
            "role": _one_of(["manager", "worker", None], "Role of the node in the swarm."),
            "host": _or_later(text, none, description="Host name of the node; !NAME: any but that one."),
            "labels": _or_later({"type": "object"}, none, description="Labels that the node has; !VALUE: has not."),
            "gpu": _or_later(
                {"type": "boolean"}, text, none, description="On a node with a GPU, without one, of a kind."
            ),
            "spread": _or_later(text, {"type": "array", "items": text}, none, description="Labels to spread over."),
            "max_replicas_per_node": _or_later({"type": "integer", "minimum": 1}, none),
        },
    }


def _resources() -> dict[str, Any]:
    cpus = _or_later({"type": "number", "exclusiveMinimum": 0}, {"type": "null"})
    memory = _or_later({"type": "string"}, {"type": "null"}, description="With its unit: 512mb, 16gb.")
    kept = {"type": "object", "properties": {"cpus": cpus, "memory": memory}}
    gpus: list[dict[str, Any]] = [
        {"type": "integer", "minimum": 1},
        {"const": "all"},
        {"type": "array"},
        {"type": "null"},
    ]
    return _or_later(
        {
            "type": "object",
            "properties": {
                "cpus": cpus,
                "memory": memory,
                "pids": _or_later({"type": "integer", "minimum": 1}, {"type": "null"}),
                "gpus": _or_later(*gpus, description="How many GPUs, or which."),
                "reserve": _or_later(kept, {"type": "null"}, description="What is kept for it alone."),
            },
        },
        {"type": "null"},
        description="What one replica may take of a machine.",
    )


def _entry() -> dict[str, Any]:
    """Anything, but under one of the three kind keys exactly one server."""
    return {"if": {"type": "object"}, "then": {"properties": {kind.value: _kind(kind) for kind in ServerKind}}}


def _kind(kind: ServerKind) -> dict[str, Any]:
    known = {
        folder.name: {"allOf": [{"$ref": "#/$defs/server"}, {"properties": {name: {} for name in fields}}]}
        for folder, fields in _bundled(kind)
    }
    server = {"$ref": "#/$defs/server"}
    one = {"type": "object", "maxProperties": 1, "properties": known, "additionalProperties": server}
    return {"description": f"One of the {kind.value}, by the name of its folder.", **_or_later(one)}


@lru_cache(maxsize=8)
def _bundled(kind: ServerKind) -> list[tuple[Path, list[str]]]:
    """The bundled implementations and the fields that their code declares."""
    folders = sorted(path.parent for path in assets.folder("services").glob(f"{kind.value}/*/app.py"))
    found = [(folder, implementation_of(folder, "app.py")) for folder in folders]
    return [(folder, sorted(known.fields - {""})) for folder, known in found if known]


def _server() -> dict[str, Any]:
    text = {"type": "string"}
    workers = {"type": "integer", "minimum": 1}
    replicas = {**workers, "maximum": MOST_REPLICAS}
    return {
        "type": "object",
        "properties": {
            "entrypoint": {**text, "description": "The file to run, in the server's folder."},
            "host": _or_later(text, {"type": "null"}),
            "port": {"$ref": "#/$defs/port"},
            "num_workers": _or_later(workers, {"type": "null"}),
            "replicas": _or_later(replicas, {"type": "null"}, description="How many of it run side by side."),
            "runtime": _one_of([*RUNTIMES, None], "What it runs on: gymctl's own kit, or NeMo Gym as it is."),
            "needs_ray": _or_later({"type": "boolean"}, {"type": "null"}, description="It cannot do without Ray."),
            "domain": _one_of([*DOMAINS, None], "What a resources server trains or tests; it must have one."),
            "datasets": _or_later({"type": "array", "items": {"$ref": "#/$defs/dataset"}}, {"type": "null"}),
            "placement": {"$ref": "#/$defs/placement"},
            "resources": {"$ref": "#/$defs/resources"},
            **container_schema(),
            "resources_server": {"$ref": "#/$defs/reference"},
            "model_server": {"$ref": "#/$defs/reference"},
        },
    }


def _reference() -> dict[str, Any]:
    fields = {"type": _one_of(_KIND_NAMES, "Kind of the server."), "name": {"type": "string"}}
    return _or_later({"type": "object", "properties": fields}, description="Another server, by kind and name.")


def _dataset() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "name": text,
            "type": _one_of(DATASET_TYPES, "What its rows are for."),
            "jsonl_fpath": {**text, "description": "Its rows, one JSON object a line."},
            "num_repeats": _or_later({"type": "integer", "minimum": 1}),
            "license": _one_of([*LICENSES, None], "Needed for train and validation."),
            "source": {"type": "object", "properties": {"type": {"enum": ["gitlab", "huggingface"]}}},
        },
    }
