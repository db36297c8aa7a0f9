"""Find the servers in a resolved configuration, and what is wrong with those that are almost one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gymctl.config.blocks.block_reader import B, read_block
from gymctl.config.blocks.container_settings import CONTAINER_KEYS, ContainerSettings
from gymctl.config.blocks.placement import effective_limits
from gymctl.config.blocks.server_fields import FIELDS_OF, GYMCTL_FIELDS, OuterFields, ServerFields
from gymctl.config.diagnostics import Findings, KeyPath, NoteCode, dotted
from gymctl.config.model import Reference, ServerInstance
from gymctl.config.settings.server_code import annotated_fields, implementation_of
from gymctl.config.vocabulary import BLOCK_KEYS, RESERVED_KEYS, ServerKind, is_server_entry
from gymctl.config.wording import did_you_mean, nearest
from gymctl.errors import ErrorCode

SKIP = " (+error_on_almost_servers=false skips it)"
_ENTRYPOINT = "app.py"  # of a server that runs elsewhere, whose entry need not name one
_KIND_NAMES = [kind.value for kind in ServerKind]
# Fields of gymctl whose name a server's own code may have for something else.
_MAY_BE_OWN = GYMCTL_FIELDS - {"replicas", "runtime"}


def find_servers(values: Mapping[str, Any], roots: Sequence[Path], findings: Findings) -> dict[str, ServerInstance]:
    """Every server instance, in order of appearance. Almost-servers become problems.

    An entry without an entrypoint overrides a server that no file defines. As with NeMo Gym's parser, that is a problem
    only of a server that refers to it, or of a configuration with nothing else in it.
    """
    servers: dict[str, ServerInstance] = {}
    overrides: list[_Entry] = []
    for name, value in values.items():
        if not is_server_entry(name, value):
            _check_spelling(name, value, findings)
            continue
        entry = _Entry(name, value, roots, findings, values.get("runtime"))
        if entry.is_override:
            overrides.append(entry)
        elif instance := entry.server():
            servers[name] = instance
    needed = {item.name for server in servers.values() for item in server.references if len(item.path) == 1}
    for entry in overrides:
        if entry.name in needed or not servers:
            entry.server()
        else:
            _note_override(entry.name, findings)
    return servers


def _note_override(name: str, findings: Findings) -> None:
    message = f"{name} is left out: it has no entrypoint, and no file defines that server"
    findings.note(NoteCode.SKIPPED_SERVER, (name,), message, "load the file that does, or remove the entry")


@dataclass(frozen=True)
class _Entry:
    """A top-level entry with a kind key, on its way to become a server."""

    name: str
    value: Mapping[str, Any]
    roots: Sequence[Path]
    findings: Findings
    runtime: Any = None  # the stack's

    @property
    def is_override(self) -> bool:
        """Whether it is of one kind and implementation, and none of its fields is an entrypoint, misspelt or not."""
        kinds = [self.value[kind.value] for kind in ServerKind if kind.value in self.value]
        if len(kinds) != 1 or not isinstance(self.name, str):
            return False
        implementations = kinds[0]
        if "at" in self.value or not isinstance(implementations, dict) or len(implementations) != 1:
            return False
        (fields,) = implementations.values()
        if not isinstance(fields, dict) or {"at", "entrypoint"} & fields.keys():
            return False
        return not nearest("entrypoint", fields, cutoff=0.8)

    def server(self) -> ServerInstance | None:
        """The server, or None with a problem that explains why."""
        kinds = [kind for kind in ServerKind if kind.value in self.value]
        if not isinstance(self.name, str):
            self.findings.problem((self.name,), f"the server name {self.name!r} is not a string", "put it in quotes")
        elif len(kinds) > 1:
            problem = f"{self.name} is defined with {len(kinds)} kinds ({', '.join(kinds)})"
            self.findings.problem((self.name,), problem, "give each a different name")
        elif implementation := self._implementation(kinds[0]):
            return self._instance(kinds[0], implementation)
        return None

    def _implementation(self, kind: ServerKind) -> str | None:
        inner = self.value[kind.value]
        path = (self.name, kind.value)
        if not isinstance(inner, dict) or len(inner) != 1:
            if isinstance(inner, dict):
                definitions = [f"{key} at {self.findings.place((*path, key))}" for key in inner]
            else:
                definitions = []
            problem = f"{dotted(path)} has {len(definitions)} implementations"
            if definitions:
                listed = f" ({', '.join(definitions)})"
            else:
                listed = ""
            self.findings.problem(
                path, problem + listed, "it must have exactly one; files that use the same name are merged"
            )
            return None
        implementation, fields = next(iter(inner.items()))
        if isinstance(fields, dict) and self._is_complete(fields):
            return str(implementation)
        if isinstance(fields, dict):
            typo = nearest("entrypoint", fields, cutoff=0.8)
        else:
            typo = None
        if typo:
            hint = f"rename {typo} to entrypoint"
        else:
            hint = "add `entrypoint: app.py` under it"
        here = (*path, implementation)
        if isinstance(fields, dict) and "entrypoint" in fields:
            problem = f"{self.name}: entrypoint is {fields['entrypoint']!r}"
            self.findings.problem((*here, "entrypoint"), problem, "it must be a file name such as app.py")
        else:
            problem = f"{self.name} looks like a server but has no entrypoint"
            self.findings.problem(here, problem, f"{hint}{SKIP}", ErrorCode.NO_ENTRYPOINT)
        return None

    def _is_complete(self, fields: Mapping[str, Any]) -> bool:
        """Whether it has an entrypoint, or needs none because it is not started here."""
        if "entrypoint" in fields:
            return isinstance(fields["entrypoint"], str)
        return "at" in fields or "at" in self.value

    def _instance(self, kind: ServerKind, implementation: str) -> ServerInstance:
        fields = {"entrypoint": _ENTRYPOINT, **self.value[kind.value][implementation]}
        path: KeyPath = (self.name, kind.value, implementation)
        folder = _folder(kind, implementation, fields["entrypoint"], self.roots)
        own = _own_fields(folder, fields)
        model = FIELDS_OF[kind]
        inner = {key: value for key, value in fields.items() if key in model.model_fields and key not in own}
        if inner.keys() <= ServerFields.model_fields.keys():
            model = ServerFields  # building one model for all kinds takes less time than one for each
        outer = {key: self.value[key] for key in OuterFields.model_fields if key in self.value and key not in inner}
        settings = _set_values(self._read(model, inner, path))
        if outer:  # a model is built when it is first used
            settings = {**_set_values(self._read(OuterFields, outer, (self.name,))), **settings}
        return ServerInstance(
            name=self.name,
            kind=kind,
            implementation=implementation,
            entrypoint=fields["entrypoint"],
            host=settings.get("host"),
            port=settings.get("port"),
            fields=fields,
            references=tuple(_references(_with_agent_kind(kind, fields), ())),
            num_workers=settings.get("num_workers"),
            location=self.findings.origins.of(path),
            folder=folder,
            runtime=settings.get("runtime") or self.runtime,
            placement=settings.get("placement"),
            limits=effective_limits(settings.get("resources")),
            needs_ray=settings.get("needs_ray", False),
            replicas=settings.get("replicas") or 1,
            at=settings.get("at"),
            container=_container(settings),
            own_fields=own,
        )

    def _read(self, model: type[B], values: Mapping[str, Any], path: KeyPath) -> B | None:
        return read_block(model, values, path, self.findings, owner=self.name)


def _set_values(block: BaseModel | None) -> dict[str, Any]:
    if block:
        return {key: getattr(block, key) for key in block.model_fields_set}
    return {}


def _container(settings: Mapping[str, Any]) -> ContainerSettings | None:
    own = {key: settings[key] for key in CONTAINER_KEYS if settings.get(key) is not None}
    if own:
        return ContainerSettings.model_construct(set(own), **{**ContainerSettings().__dict__, **own})
    return None


def _own_fields(folder: Path | None, fields: Mapping[str, Any]) -> frozenset[str]:
    """Which of gymctl's fields the server's own code has for something else."""
    if folder is None or not _MAY_BE_OWN & fields.keys():
        return frozenset()
    code = implementation_of(folder, fields["entrypoint"])
    if code:
        return _MAY_BE_OWN & code.fields
    return _MAY_BE_OWN & annotated_fields(folder, fields["entrypoint"])


def _folder(kind: ServerKind, implementation: str, entrypoint: str, roots: Sequence[Path]) -> Path | None:
    """The first search root that has ``<kind>/<implementation>/<entrypoint>``, as upstream lays servers out."""
    candidates = (root / kind.value / implementation for root in roots)
    return next((folder for folder in candidates if (folder / entrypoint).is_file()), None)


def _with_agent_kind(kind: ServerKind, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields with the kind of ``agent_server``, which an environment server may leave out."""
    agent = fields.get("agent_server") if kind is ServerKind.ENVIRONMENT else None
    if not isinstance(agent, dict) or "type" in agent:
        return fields
    return {**fields, "agent_server": {"type": ServerKind.AGENT.value, **agent}}


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
        findings.problem((name,), f"unknown key {name!r}", f"{hint} (+silence=[misspelt-key] if intended)")
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and (hint := did_you_mean(key, _KIND_NAMES, cutoff=0.85)):
            findings.problem((name, key), f"{name}: unknown kind of server {key!r}", hint)
