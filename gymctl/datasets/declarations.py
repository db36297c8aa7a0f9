"""The data sets that a configuration declares, read without what serving needs.

A value that only a running stack needs (an unset judge, a missing model) does not stop a data command: of the merged
configuration only ``datasets:`` and the references between agents and resources servers are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gymctl.config.bundled_names import find_bundled, with_bundled
from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.sources.directives import apply_directives
from gymctl.config.sources.layers import read_layers
from gymctl.config.sources.merge import merge_layers
from gymctl.config.sources.resolve import resolve
from gymctl.config.vocabulary import MISSING, RESERVED_KEYS, ServerKind
from gymctl.config.wording import did_you_mean
from gymctl.datasets.entries import ENTRY_KEYS, LICENSES, BenchmarkEntry, SourceEntry
from gymctl.datasets.json_values import as_object
from gymctl.datasets.options import DatasetType, Mode, RowRelease
from gymctl.datasets.prompts import PromptTemplate, find_file, read_prompt
from gymctl.errors import ConfigError, ErrorCode

_LICENSED = (DatasetType.TRAIN, DatasetType.VALIDATION)


@dataclass(frozen=True)
class Declaration:
    """One data set of one server."""

    server: str
    """Name of the agent or resources server that declares it."""
    agent: str
    """Name of the agent that its rows go to."""
    entry: SourceEntry | BenchmarkEntry
    place: str
    """Where it is declared, as ``file:line``."""
    file: Path | None
    """The rows; None when the file is missing."""
    prompt: PromptTemplate | None = None
    folder: Path | None = None
    """Folder with the code of the resources server that scores its rows, where one is found."""

    @property
    def path(self) -> str:
        """The file as the configuration writes it."""
        return str(self.entry.jsonl_fpath)

    @property
    def key(self) -> str:
        """Server, type and name."""
        return f"{self.server}/{self.entry.type}/{self.entry.name}"


@dataclass(frozen=True)
class DataConfig:
    """What data commands read of a configuration."""

    declarations: tuple[Declaration, ...]
    """The data sets in scope, in the order of the configuration."""
    servers: Mapping[str, ServerKind]
    settings: Mapping[str, Any]
    """Resolved top-level values that are not servers: tokens, upstream's options."""
    roots: tuple[Path, ...]
    folders: Mapping[str, Path | None] = field(default_factory=dict)
    """Folder of the resources server that scores the rows of each agent and resources server."""
    fields: Mapping[Path, Mapping[str, Any]] = field(default_factory=dict)
    """Configured fields of each resources server, by the folder of its code."""

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, in order."""
        return tuple(name for name, kind in self.servers.items() if kind is ServerKind.AGENT)


def load_declarations(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    mode: Mode | None,
    release: RowRelease | None = None,
    gym_root: Path | None = None,
) -> DataConfig:
    """The data sets that are in scope; all of them when ``mode`` is None.

    Up to release 0.5 only data sets of agents count, later also those of resources servers.

    Raises:
        InputError: an argument is wrong, or a configuration file is missing.
        ConfigError: an entry is wrong; every problem with its place.
    """
    layers = read_layers(arguments, cwd=cwd, environ=environ, gym_root=gym_root)
    findings = Findings()
    raw = apply_directives(merge_layers(layers.all, layers.includes, findings), findings)
    resolved = resolve(raw, environ, Findings(findings.origins))
    bundled = find_bundled(resolved, layers.roots, Findings(findings.origins))
    raw = with_bundled(raw, bundled)
    resolved = with_bundled(resolved, bundled)
    reader = _Reader(raw=raw, resolved=resolved, findings=Findings(findings.origins), roots=layers.roots, cwd=cwd)
    declarations = tuple(reader.declarations(mode, release))
    if reader.findings.problems:
        raise ConfigError(list(dict.fromkeys(reader.findings.problems)))
    servers = {name: kind for name, kind, _, _ in reader.servers()}
    return DataConfig(
        declarations=declarations,
        servers=servers,
        settings={name: value for name, value in resolved.items() if name not in servers},
        roots=layers.roots,
        folders={name: reader.folder(name) for name, kind in servers.items() if kind is not ServerKind.MODEL},
        fields={folder: fields for folder, fields in reader.resources() if folder is not None},
    )


@dataclass(frozen=True)
class _Reader:
    raw: Mapping[str, Any]
    resolved: Mapping[str, Any]
    findings: Findings
    roots: tuple[Path, ...]
    cwd: Path

    def servers(self) -> Iterator[tuple[str, ServerKind, str, Mapping[str, Any]]]:
        """Name, kind, implementation and fields of everything that is meant as a server."""
        for name, block in self.resolved.items():
            if name in RESERVED_KEYS or not isinstance(block, dict):
                continue
            for kind in ServerKind:
                for implementation, fields in as_object(block.get(kind)).items():
                    if isinstance(fields, dict):
                        yield str(name), kind, str(implementation), fields

    def declarations(self, mode: Mode | None, release: RowRelease | None) -> Iterator[Declaration]:
        """The data sets in scope; problems are added to the findings."""
        for name, kind, implementation, fields in self.servers():
            path: KeyPath = (name, kind.value, implementation, "datasets")
            entries = fields.get("datasets")
            if entries is None or (kind is ServerKind.RESOURCES and release is RowRelease.V0_4):
                continue
            if not isinstance(entries, list):
                self.findings.problem(path, f"{dotted(path)} is not a list", "write a list of data sets")
                continue
            if kind is ServerKind.MODEL and entries:
                self.findings.problem(path, f"{name} is a model server", "declare its data sets on an agent")
                continue
            for index, value in enumerate(entries):
                declared = self._declared(name, kind, (*path, index), value, mode)
                if declared is not None:
                    yield declared

    def _declared(
        self, name: str, kind: ServerKind, path: KeyPath, value: Any, mode: Mode | None
    ) -> Declaration | None:
        entry = self._entry(path, value)
        if entry is None or (mode is not None and entry.type not in mode.types):
            return None
        agent = self._agent(name, kind, entry, path)
        if agent is None:
            return None
        return Declaration(
            server=name,
            agent=agent,
            entry=entry,
            place=self.findings.place(path),
            file=self._file(Path(entry.jsonl_fpath)),
            prompt=self._prompt(entry, path),
            folder=self.folder(agent),
        )

    def _file(self, path: Path) -> Path | None:
        """The rows; below the current directory as a relative path, which reads better in messages."""
        file = find_file(path, self.roots, self.cwd)
        if file is not None and self.cwd == Path.cwd() and file.is_relative_to(self.cwd):
            return file.relative_to(self.cwd)
        return file

    def _entry(self, path: KeyPath, value: Any) -> SourceEntry | BenchmarkEntry | None:
        if not isinstance(value, dict):
            self.findings.problem(path, f"{dotted(path)} is not a mapping", "write name, type and jsonl_fpath")
            return None
        before = len(self.findings.problems)
        self._check_open_values(path, value)
        self._check_keys(path, value)
        if len(self.findings.problems) > before:
            return None
        model = BenchmarkEntry if value.get("type") == DatasetType.BENCHMARK else SourceEntry
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                place = (*path, *detail["loc"])
                self.findings.problem(place, f"{dotted(place)}: {detail['msg']}", "correct it")
        return None

    def _check_open_values(self, path: KeyPath, value: Mapping[str, Any]) -> None:
        written: Any = self.raw
        for part in path:
            written = written[part]
        for key, item in as_object(written).items():
            if item == MISSING:
                self.findings.problem(
                    (*path, key), f"{dotted((*path, key))} has no value (???)", "set it", ErrorCode.NO_VALUE
                )
            elif isinstance(item, str) and "${" in item and value.get(key) is None:
                self.findings.problem((*path, key), f"{dotted((*path, key))}: {item} cannot be resolved", "set it")

    def _check_keys(self, path: KeyPath, value: Mapping[str, Any]) -> None:
        kind = value.get("type")
        if kind not in list(DatasetType):
            hint = did_you_mean(kind, DatasetType) or f"it must be one of {', '.join(DatasetType)}"
            self.findings.problem((*path, "type"), f"{dotted(path)}: the type is {kind!r}", hint)
        for key in value:
            hint = did_you_mean(key, ENTRY_KEYS, cutoff=0.8)
            if key not in ENTRY_KEYS and hint:
                self.findings.problem((*path, key), f"unknown key {dotted((*path, key))!r}", hint)
        if value.get("taskset") is not None:
            hint = "remove the key, or prepare the data set with NeMo Gym; gymctl collect can collect the result"
            self.findings.problem((*path, "taskset"), "gymctl cannot prepare data sets with a taskset", hint)
        self._check_license(path, value)

    def _check_license(self, path: KeyPath, value: Mapping[str, Any]) -> None:
        license_name = value.get("license")
        if license_name is None and value.get("type") in _LICENSED:
            hint = f"add license: one of {', '.join(map(repr, LICENSES))}"
            self.findings.problem(path, f"{value.get('name')}: a {value['type']} data set needs a license", hint)
        elif license_name is not None and license_name not in LICENSES:
            hint = did_you_mean(license_name, LICENSES) or f"it must be one of {', '.join(map(repr, LICENSES))}"
            self.findings.problem((*path, "license"), f"{value.get('name')}: unknown license {license_name!r}", hint)

    def _agent(self, name: str, kind: ServerKind, entry: SourceEntry | BenchmarkEntry, path: KeyPath) -> str | None:
        """The agent that rows go to: the declaring one, the pinned one, or the only one that uses the server."""
        users = [name] if kind is ServerKind.AGENT else self._users_of(name)
        if entry.agent is not None and entry.agent not in users:
            message = f"{name}: the agent {entry.agent!r} does not use this resources server"
            self.findings.problem((*path, "agent"), message, f"it must be one of {', '.join(users) or 'none'}")
            return None
        if entry.agent is not None:
            return entry.agent
        if len(users) == 1:
            return users[0]
        message = f"{name}: no agent uses this resources server"
        hint = "add an agent that refers to it"
        if users:
            message = f"{name}: several agents use this resources server"
            hint = f"name one of them with agent: {', '.join(users)}"
        self.findings.problem(path, message, hint)
        return None

    def _users_of(self, resources: str) -> list[str]:
        return [
            name
            for name, kind, _, fields in self.servers()
            if kind is ServerKind.AGENT and _reference(fields) == resources
        ]

    def _prompt(self, entry: SourceEntry | BenchmarkEntry, path: KeyPath) -> PromptTemplate | None:
        if isinstance(entry, SourceEntry) or entry.prompt_config is None:
            return None
        file = find_file(entry.prompt_config, self.roots, self.cwd)
        if file is None:
            place = (*path, "prompt_config")
            self.findings.problem(place, f"no such file: {entry.prompt_config}", "check the path")
            return None
        try:
            return read_prompt(file, self.cwd)
        except ConfigError as error:
            self.findings.problems += error.problems
        return None

    def resources(self) -> Iterator[tuple[Path | None, Mapping[str, Any]]]:
        """Folder and fields of every resources server."""
        for name, kind, _, fields in self.servers():
            if kind is ServerKind.RESOURCES:
                yield self.folder(name), fields

    def folder(self, name: str) -> Path | None:
        """Where the resources server that scores the rows of an agent, or that one itself, has its code."""
        by_name = {server: (kind, implementation, fields) for server, kind, implementation, fields in self.servers()}
        kind, _, fields = by_name[name]
        if kind is not ServerKind.RESOURCES:
            name = _reference(fields) or ""
        scorer = by_name.get(name)
        if scorer is None or scorer[0] is not ServerKind.RESOURCES:
            return None
        return find_file(Path(ServerKind.RESOURCES) / scorer[1], self.roots, self.cwd)


def _reference(fields: Mapping[str, Any]) -> str | None:
    return as_object(fields.get("resources_server")).get("name")
