"""Find the servers in a resolved configuration, and what is wrong with those that are almost one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, NoteCode, dotted
from gymctl.config.merge import is_server_entry
from gymctl.config.model import Reference, ServerInstance
from gymctl.config.server_code import implementation_of
from gymctl.config.vocabulary import BLOCK_KEYS, MOST_REPLICAS, RESERVED_KEYS, RUNTIMES, ServerKind
from gymctl.config.wording import did_you_mean, nearest

SKIP = " (+error_on_almost_servers=false skips it)"
_KIND_NAMES = [kind.value for kind in ServerKind]
_TYPES = (
    ("entrypoint", str, "a file name such as app.py"),
    ("host", str, "a host name or address"),
    ("port", int, "a number from 1 to 65535"),
    ("num_workers", int, "a number of processes, at least 1"),
    ("replicas", int, f"how many of it run side by side, from 1 to {MOST_REPLICAS}"),
    ("runtime", str, f"one of {', '.join(RUNTIMES)}"),
    ("slice", str, "closure (what it can reach) or full (all)"),
)
_WHAT = {key: what for key, _, what in _TYPES}
_CHOICES = {"runtime": RUNTIMES, "slice": ("closure", "full")}
_MOST = {"port": 65535, "replicas": MOST_REPLICAS}


def find_servers(values: Mapping[str, Any], roots: Sequence[Path], findings: Findings) -> dict[str, ServerInstance]:
    """Every server instance, in order of appearance. Almost-servers become problems."""
    servers: dict[str, ServerInstance] = {}
    for name, value in values.items():
        if is_server_entry(name, value):
            found = _Entry(name, value, roots, findings, values.get("runtime")).server()
            if found:
                servers[name] = found
        else:
            _check_spelling(name, value, findings)
    return servers


@dataclass(frozen=True)
class _Entry:
    """A top-level entry with a kind key, on its way to become a server."""

    name: str
    value: Mapping[str, Any]
    roots: Sequence[Path]
    findings: Findings
    runtime: Any = None  # the stack's

    def server(self) -> ServerInstance | None:
        """The server, or None with a problem that says why not."""
        kinds = [kind for kind in ServerKind if kind.value in self.value]
        if not isinstance(self.name, str):
            self.findings.problem((self.name,), f"the server name {self.name!r} is no text", "put it in quotes")
        elif len(kinds) > 1:
            what = f"{self.name} is of {len(kinds)} kinds ({', '.join(kinds)})"
            self.findings.problem((self.name,), what, "give each its own name")
        elif implementation := self._implementation(kinds[0]):
            return self._instance(kinds[0], implementation)
        return None

    def _implementation(self, kind: ServerKind) -> str | None:
        inner, path = self.value[kind.value], (self.name, kind.value)
        if not isinstance(inner, dict) or len(inner) != 1:
            found = (
                [f"{key} at {self.findings.place((*path, key))}" for key in inner] if isinstance(inner, dict) else []
            )
            what = f"{dotted(path)} holds {len(found)} implementations"
            shown = f" ({', '.join(found)})" if found else ""
            self.findings.problem(path, what + shown, "it must hold exactly one; a name used in two files merges")
            return None
        implementation, fields = next(iter(inner.items()))
        if isinstance(fields, dict) and isinstance(fields.get("entrypoint"), str):
            return str(implementation)
        typo = nearest("entrypoint", fields, cutoff=0.8) if isinstance(fields, dict) else None
        hint = f"rename {typo} to entrypoint" if typo else "add `entrypoint: app.py` under it"
        here = (*path, implementation)
        if isinstance(fields, dict) and "entrypoint" in fields:
            self._wrong_type((*here, "entrypoint"), fields["entrypoint"], _TYPES[0][2])
        else:
            what = f"{self.name} looks like a server but has no entrypoint"
            self.findings.problem(here, what, f"{hint}{SKIP}")
        return None

    def _instance(self, kind: ServerKind, implementation: str) -> ServerInstance | None:
        fields = self.value[kind.value][implementation]
        path: KeyPath = (self.name, kind.value, implementation)
        folder = _folder(kind, implementation, fields["entrypoint"], self.roots)
        wrong = [
            (key, what)
            for key, wanted, what in _TYPES
            if fields.get(key) is not None and not _is_a(key, wanted, fields[key]) and not _is_own(key, folder, fields)
        ]
        for key, what in wrong:
            self._wrong_type((*path, key), fields[key], what)
        replicas = fields.get("replicas", self.value.get("replicas"))
        if "replicas" not in fields and replicas is not None and not _is_a("replicas", int, replicas):
            wrong.append(("replicas", ""))
            self._wrong_type((self.name, "replicas"), replicas, _WHAT["replicas"])
        if wrong:
            return None
        return ServerInstance(
            name=self.name,
            kind=kind,
            implementation=implementation,
            entrypoint=fields["entrypoint"],
            host=fields.get("host"),
            port=fields.get("port"),
            fields=fields,
            references=tuple(_references(fields, ())),
            num_workers=fields.get("num_workers"),
            location=self.findings.origins.of(path),
            folder=folder,
            runtime=fields.get("runtime") or self.runtime,
            replicas=replicas or 1,
        )

    def _wrong_type(self, path: KeyPath, value: Any, what: str) -> None:
        self.findings.problem(path, f"{self.name}: {path[-1]} is {value!r}", f"it must be {what}")


def _is_a(key: str, wanted: type, value: Any) -> bool:
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST.get(key, 1024)
    return isinstance(value, wanted) and value in _CHOICES.get(key, (value,))


def _is_own(key: str, folder: Path | None, fields: Mapping[str, Any]) -> bool:
    """Whether ``key`` is no word of NeMo Gym's, and the server's own code has a field of that name."""
    own = implementation_of(folder, fields["entrypoint"]) if folder and key == "slice" else None
    return own is not None and key in own.fields


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


def _check_spelling(name: str, value: Any, findings: Findings) -> None:
    """A top-level key that is nearly a reserved one, or an entry whose kind key is nearly right."""
    if name in RESERVED_KEYS:
        return
    hint = did_you_mean(name, RESERVED_KEYS, cutoff=0.87)
    if not hint and isinstance(value, dict):  # names of blocks are short: one letter too many or too few, or a capital
        hint = did_you_mean(str(name).lower(), BLOCK_KEYS, cutoff=0.85)
    if hint and NoteCode.MISSPELT_KEY not in findings.silenced:
        findings.problem((name,), f"unknown key {name!r}", f"{hint} (+silence=[misspelt-key] if it is meant)")
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and (hint := did_you_mean(key, _KIND_NAMES, cutoff=0.85)):
            findings.problem((name, key), f"{name}: unknown kind of server {key!r}", hint)
