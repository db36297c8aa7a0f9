"""Find the servers in a resolved configuration and check what upstream checks, with the place of every problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gymctl.config.locations import KeyPath, Origins, dotted
from gymctl.config.merge import is_server_entry
from gymctl.config.model import RESERVED_KEYS, Reference, ServerInstance, ServerKind
from gymctl.errors import Problem

DOMAINS = (
    "math coding agent knowledge instruction_following long_context safety games translation e2e rlhf other".split()
)
LICENSES = (
    "Apache 2.0",
    "MIT",
    "Creative Commons Attribution 4.0 International",
    "Creative Commons Attribution-ShareAlike 4.0 International",
    "NVIDIA Internal Use Only, Do Not Distribute",
    "TBD",
    "GNU General Public License v3.0",
    "CC BY-SA 4.0",
    "CC BY-NC 3.0",
    "NVIDIA Evaluation Dataset License Agreement",
)
_KIND_NAMES = [kind.value for kind in ServerKind]


def find_servers(
    values: Mapping[str, Any], origins: Origins, roots: Sequence[Path]
) -> tuple[dict[str, ServerInstance], list[Problem]]:
    """Every server instance in order of appearance, and what is wrong with those that are almost one."""
    servers: dict[str, ServerInstance] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        if is_server_entry(name, value):
            found = _server(name, value, origins, roots)
            if isinstance(found, ServerInstance):
                servers[name] = found
                problems += _field_problems(found, origins)
            else:
                problems.append(found)
        else:
            problems += _misspelt(name, value, origins)
    return servers, problems


def _server(name: str, value: Mapping[str, Any], origins: Origins, roots: Sequence[Path]) -> ServerInstance | Problem:
    kinds = [kind for kind in ServerKind if kind.value in value]
    where = str(origins.of((name,)) or "")
    if len(kinds) > 1:
        return Problem(where, f"{name} is of {len(kinds)} kinds ({', '.join(kinds)})", "give each its own name")
    kind = kinds[0]
    place = str(origins.of((name, kind.value)) or where)
    inner = value[kind.value]
    if not isinstance(inner, dict) or len(inner) != 1:
        count = len(inner) if isinstance(inner, dict) else 0
        return Problem(place, f"{name}.{kind.value} holds {count} implementations", "it must hold exactly one")
    implementation, fields = next(iter(inner.items()))
    here = str(origins.of((name, kind.value, implementation)) or place)
    if not isinstance(fields, dict) or "entrypoint" not in fields:
        typo = get_close_matches("entrypoint", list(fields or ()), 1, 0.8) if isinstance(fields, dict) else []
        hint = f"rename {typo[0]} to entrypoint" if typo else "add `entrypoint: app.py` under it"
        return Problem(
            here,
            f"{name} looks like a server but has no entrypoint",
            f"{hint} (+error_on_almost_servers=false skips it)",
        )
    return _instance(name, kind, implementation, fields, origins, roots, here)


def _instance(
    name: str,
    kind: ServerKind,
    implementation: str,
    fields: Mapping[str, Any],
    origins: Origins,
    roots: Sequence[Path],
    here: str,
) -> ServerInstance | Problem:
    path = (name, kind.value, implementation)
    for key, types, what in (
        ("entrypoint", (str,), "a file name such as app.py"),
        ("host", (str,), "a host name or address"),
        ("port", (int,), "a number from 1 to 65535"),
        ("num_workers", (int,), "a number of processes"),
    ):
        value = fields.get(key)
        wrong = value is not None and (not isinstance(value, types) or isinstance(value, bool))
        if wrong or (key == "port" and isinstance(value, int) and not 0 < value < 65536):
            where = str(origins.of((*path, key)) or here)
            return Problem(where, f"{name}: {key} is {value!r}", f"it must be {what}")
    return ServerInstance(
        name=name,
        kind=kind,
        implementation=implementation,
        entrypoint=fields["entrypoint"],
        host=fields.get("host"),
        port=fields.get("port"),
        fields=fields,
        references=tuple(_references(fields, ())),
        num_workers=fields.get("num_workers"),
        location=origins.of(path),
        folder=_folder(kind, implementation, fields["entrypoint"], roots),
    )


def _folder(kind: ServerKind, implementation: str, entrypoint: str, roots: Sequence[Path]) -> Path | None:
    """The first search root that has ``<kind>/<implementation>/<entrypoint>``, as upstream lays servers out."""
    candidates = (root / kind.value / implementation for root in roots)
    return next((folder for folder in candidates if (folder / entrypoint).is_file()), None)


def _references(value: Any, path: KeyPath) -> Iterator[Reference]:
    if isinstance(value, dict):
        if set(value) == {"type", "name"} and value["type"] in _KIND_NAMES and isinstance(value["name"], str):
            yield Reference(path, ServerKind(value["type"]), value["name"])
            return
        for key, item in value.items():
            yield from _references(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, (*path, index))


def check_references(servers: Mapping[str, ServerInstance], origins: Origins) -> list[Problem]:
    """References to servers that do not exist, each with its place and the nearest name of that kind."""
    problems = []
    for server in servers.values():
        for reference in server.references:
            target = servers.get(reference.name)
            if target is not None and target.kind is reference.kind:
                continue
            path = (*server.path, *reference.path, "name")
            where = str(origins.of(path) or server.location or "")
            field = dotted(reference.path)
            same_kind = [other.name for other in servers.values() if other.kind is reference.kind]
            close = get_close_matches(reference.name, same_kind, 1)
            if close:
                hint = f"did you mean {close[0]!r}?"
            elif same_kind:
                hint = f"there are: {', '.join(same_kind)}"
            else:
                hint = f"add a configuration that defines a server under {reference.kind.value}"
            problems.append(
                Problem(
                    where,
                    f"{server.name}.{field} refers to {reference.kind.value}/{reference.name!r}, which no configuration defines",
                    hint,
                )
            )
    return problems


def check_addresses(
    servers: Mapping[str, ServerInstance], head: tuple[str | None, int], origins: Origins
) -> list[Problem]:
    """Two servers that claim one host and port."""
    taken: dict[tuple[str | None, int], str] = {head: "the head server"}
    problems = []
    for server in servers.values():
        if server.port is None:
            continue
        address = (server.host, server.port)
        if address in taken:
            where = str(origins.of((*server.path, "port")) or server.location or "")
            message = f"{server.name}: port {server.port} is already that of {taken[address]}"
            problems.append(Problem(where, message, "give it another, or leave `port` out"))
        taken.setdefault(address, server.name)
    return problems


def _field_problems(server: ServerInstance, origins: Origins) -> Iterator[Problem]:
    """Domain and dataset rules of config_types.py: what upstream refuses to start with."""
    here = str(server.location or "")
    if server.kind is ServerKind.RESOURCES:
        domain = server.fields.get("domain")
        if domain is None:
            yield Problem(here, f"{server.name}: a resources server needs a domain", f"one of {', '.join(DOMAINS)}")
        elif domain not in DOMAINS:
            where = str(origins.of((*server.path, "domain")) or here)
            close = get_close_matches(str(domain), DOMAINS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(DOMAINS)}"
            yield Problem(where, f"{server.name}: unknown domain {domain!r}", hint)
    for index, dataset in enumerate(server.fields.get("datasets") or ()):
        where = str(origins.of((*server.path, "datasets", index)) or here)
        yield from (Problem(where, *problem) for problem in _dataset_problems(server.name, dataset))


def _dataset_problems(server: str, dataset: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(dataset, dict):
        yield f"{server}: a dataset is a mapping", "name, type, jsonl_fpath"
        return
    name = dataset.get("name", "?")
    for key in ("name", "type", "jsonl_fpath"):
        if key not in dataset:
            yield f"{server}: dataset {name!r} has no {key}", "a dataset has name, type and jsonl_fpath"
    types = ("train", "validation", "example", "benchmark")
    if dataset.get("type") not in (None, *types):
        yield f"{server}: dataset {name!r} is of type {dataset['type']!r}", f"one of {', '.join(types)}"
    licence = dataset.get("license")
    if dataset.get("type") in ("train", "validation") and licence is None:
        yield f"{server}: dataset {name!r} needs a license", "add `license:`, such as Apache 2.0 or TBD"
    elif licence is not None and licence not in LICENSES:
        close = get_close_matches(str(licence), LICENSES, 1)
        yield (
            f"{server}: dataset {name!r} has the unknown license {licence!r}",
            (f"did you mean {close[0]!r}?" if close else f"one of: {'; '.join(LICENSES)}"),
        )


def _misspelt(name: str, value: Any, origins: Origins) -> Iterator[Problem]:
    """A top-level key that is nearly a reserved one, or an entry whose kind key is nearly right."""
    where = str(origins.of((name,)) or "")
    if name not in RESERVED_KEYS and (close := get_close_matches(name, sorted(RESERVED_KEYS), 1, 0.87)):
        yield Problem(where, f"unknown key {name!r}", f"did you mean {close[0]!r}?")
    if isinstance(value, dict) and name not in RESERVED_KEYS:
        for key, inner in value.items():
            close = get_close_matches(str(key), _KIND_NAMES, 1, 0.85)
            if close and isinstance(inner, dict):
                place = str(origins.of((name, key)) or where)
                yield Problem(place, f"{name}: unknown kind of server {key!r}", f"did you mean {close[0]!r}?")
