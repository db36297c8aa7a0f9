"""What must hold between and within servers: references, addresses, domains, datasets, global values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, NoteCode, dotted
from gymctl.config.merge import is_server_entry
from gymctl.config.model import Head, Reference, ServerInstance
from gymctl.config.server_code import implementation_of
from gymctl.config.validation import is_port
from gymctl.config.vocabulary import (
    ALLOWED_HOSTS_KEY,
    EVERY_INTERFACE_HOSTS,
    HEAD_PORT,
    LOOPBACK,
    RUNTIMES,
    Role,
    ServerKind,
)
from gymctl.config.wording import did_you_mean

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
DOMAINS = (
    "math coding agent knowledge instruction_following long_context safety games translation e2e rlhf other".split()
)
DATASET_TYPES = ("train", "validation", "example", "benchmark")
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


def check_head(values: Mapping[str, Any], findings: Findings) -> Head:
    """The head's address; each part may be left out (upstream then fails when only the port is given)."""
    written = values.get("head_server")
    if written is None:
        return Head()
    if not isinstance(written, dict):
        findings.problem(
            ("head_server",), "head_server is not a mapping", "write head_server: {host: ..., port: 11000}"
        )
        return Head()
    port, host = written.get("port"), written.get("host")
    if port is None:
        port = HEAD_PORT
    elif not is_port(port):
        path = ("head_server", "port")
        findings.problem(path, f"head_server.port is {port!r}", "it must be a number from 1 to 65535")
        port = HEAD_PORT
    if host is not None and not isinstance(host, str):
        path = ("head_server", "host")
        findings.problem(path, f"head_server.host is {host!r}", "it must be a host name or address")
        host = None
    if written.get("replicas") not in (None, 1):
        path = ("head_server", "replicas")
        findings.problem(path, "the head cannot have replicas: it is the one address that clients know", "remove it")
    return Head(host, port)


def check_globals(values: Mapping[str, Any], findings: Findings) -> None:
    """The top-level values that gymctl itself reads."""
    for key in ("port_range_low", "port_range_high"):
        if values.get(key) is not None and not is_port(values[key]):
            findings.problem((key,), f"{key} is {values[key]!r}", "it must be a number from 1 to 65535")
            return
    low, high = values.get("port_range_low") or 10001, values.get("port_range_high") or 20000
    if low > high:
        key = "port_range_low" if values.get("port_range_low") else "port_range_high"
        findings.problem((key,), f"the port range {low} to {high} is empty", "port_range_low must be the smaller one")
    host = values.get("default_host")
    if host is not None and not isinstance(host, str):
        findings.problem(("default_host",), f"default_host is {host!r}", "it must be a host name or address")
    if (runtime := values.get("runtime")) is not None and runtime not in RUNTIMES:
        findings.problem(("runtime",), f"runtime is {runtime!r}", f"it must be one of {', '.join(RUNTIMES)}")
    for key in ("use_absolute_ip", "error_on_almost_servers", "dry_run"):
        if values.get(key) is not None and not isinstance(values[key], bool):
            findings.problem((key,), f"{key} is {values[key]!r}", "it must be true or false")
    ports = values.get("disallowed_ports")
    if ports is not None and not (isinstance(ports, list) and all(is_port(port) for port in ports)):
        findings.problem(("disallowed_ports",), "disallowed_ports is not a list of ports", "write [8080, 9090]")
    check_allowed_hosts(values.get(ALLOWED_HOSTS_KEY), findings)


def check_allowed_hosts(names: Any, findings: Findings) -> None:
    """The names by which callers may reach servers: host names, without a scheme or a port."""
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) and _HOST_NAME.fullmatch(name) for name in names):
        message = f"{ALLOWED_HOSTS_KEY} is not a list of host names"
        findings.problem((ALLOWED_HOSTS_KEY,), message, "write [gym.example.com], without a scheme or a port")


def check_references(
    servers: dict[str, ServerInstance], resolved: Mapping[str, Any], findings: Findings, role: Role = Role.ALL
) -> dict[str, ServerKind]:
    """Every reference points at a server of its kind; one to an almost-server is told with that, not here.

    With a role, a direct reference to a name that no server here has is to one of another machine: those are returned.

    One in a field of its own that does not is a problem, as upstream has it. One deeper inside may never be used (a map
    of verifiers of which a data set names one): it is noted, and taken out of ``references``.
    """
    remote: dict[str, ServerKind] = {}
    for server in list(servers.values()):
        lost = [reference for reference in server.references if not _leads_somewhere(reference, servers)]
        if role is not Role.ALL:
            away = [item for item in lost if len(item.path) == 1 and item.name not in servers]
            remote |= {reference.name: reference.kind for reference in away}
            lost = [reference for reference in lost if reference not in away]
        for reference in lost:
            if findings.problems and is_server_entry(reference.name, resolved.get(reference.name)):
                continue
            _unknown_reference(server, reference, servers, findings)
        if lost:
            kept = tuple(reference for reference in server.references if reference not in lost)
            servers[server.name] = replace(server, references=kept)
    return remote


def _leads_somewhere(reference: Reference, servers: Mapping[str, ServerInstance]) -> bool:
    target = servers.get(reference.name)
    return target is not None and target.kind is reference.kind


def _unknown_reference(
    server: ServerInstance, reference: Reference, servers: Mapping[str, ServerInstance], findings: Findings
) -> None:
    same_kind = [other.name for other in servers.values() if other.kind is reference.kind]
    namesake = servers.get(reference.name)
    if namesake is not None:
        hint = f"{reference.name} is one of {namesake.kind.value}"
    elif same_kind:
        hint = did_you_mean(reference.name, same_kind) or f"there are: {', '.join(same_kind)}"
    else:
        hint = f"add a configuration that defines a server under {reference.kind.value}"
    what = f"{server.name}.{dotted(reference.path)} refers to {reference.kind.value}/{reference.name!r}"
    path, what = (*server.path, *reference.path, "name"), f"{what}, which no configuration defines"
    if len(reference.path) > 1:
        findings.note(NoteCode.UNKNOWN_REFERENCE, path, what, hint)
    else:
        findings.problem(path, what, hint)


def check_addresses(servers: Mapping[str, ServerInstance], head: Head, default: Any, findings: Findings) -> None:
    """No two servers claim one port of one host; ``default`` is the host of those that name none."""
    taken = [(head.host or default or LOOPBACK, head.port, "the head server")]
    for server in servers.values():
        if server.port is None:
            continue
        host = server.host or default or LOOPBACK
        other = next((name for place, port, name in taken if port == server.port and _same(host, place)), None)
        if other:
            what = f"{server.name}: port {server.port} is already that of {other}"
            findings.problem((*server.path, "port"), what, "give it another, or leave `port` out")
        taken.append((host, server.port, server.name))


def _same(one: str, other: str) -> bool:
    return one == other or one in EVERY_INTERFACE_HOSTS or other in EVERY_INTERFACE_HOSTS


def check_fields(server: ServerInstance, findings: Findings) -> None:
    """Domain and datasets: what upstream refuses to start with."""
    domain = server.fields.get("domain")
    if domain is None and server.kind is ServerKind.RESOURCES:
        what = f"{server.name}: a resources server needs a domain"
        findings.problem(server.path, what, f"one of {', '.join(DOMAINS)}")
    elif domain is not None and domain not in DOMAINS:
        hint = did_you_mean(domain, DOMAINS) or f"one of {', '.join(DOMAINS)}"
        findings.problem((*server.path, "domain"), f"{server.name}: unknown domain {domain!r}", hint)
    datasets = server.fields.get("datasets")
    if datasets is not None and not isinstance(datasets, list):
        findings.problem(
            (*server.path, "datasets"), f"{server.name}: datasets is not a list", "start each with `- name:`"
        )
        return
    for index, dataset in enumerate(datasets or ()):
        for key, what, hint in _dataset_problems(dataset):
            path: KeyPath = (*server.path, "datasets", index)
            findings.problem((*path, key) if key else path, f"{server.name}: {what}", hint)


def check_needed(server: ServerInstance, findings: Findings) -> None:
    """The fields without which a server built on ``gymctl.server`` would not start."""
    known = implementation_of(server.folder, server.entrypoint) if server.folder else None
    if known is None or server.runtime == "nemo-gym":
        return
    missing = [names[0] for names in known.required if not any(server.fields.get(name) is not None for name in names)]
    if missing:
        where = f"{server.kind.value}/{server.implementation}"
        what = f"{server.name}: {where} needs {', '.join(missing)}"
        findings.problem(server.path, what, f"add {'it' if len(missing) == 1 else 'them'}, as {where}/configs does")


def _dataset_problems(dataset: Any) -> Iterator[tuple[str, str, str]]:
    """The key (or nothing), what is wrong with it, what would be right."""
    if not isinstance(dataset, dict):
        yield "", "a dataset is a mapping", "of name, type and jsonl_fpath"
        return
    title, kind = f"dataset {dataset.get('name', '?')!r}", dataset.get("type")
    for key in ("name", "type", "jsonl_fpath"):
        if dataset.get(key) is None:
            yield key, f"{title} has no {key}", "a dataset has name, type and jsonl_fpath"
    if kind is not None and kind not in DATASET_TYPES:
        hint = did_you_mean(kind, DATASET_TYPES) or f"one of {', '.join(DATASET_TYPES)}"
        yield "type", f"{title} is of type {kind!r}", hint
    repeats = dataset.get("num_repeats", 1)
    if repeats is not None and (not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1):
        yield "num_repeats", f"{title}: num_repeats is {repeats!r}", "it must be a number of at least 1"
    if kind == "benchmark":
        if dataset.get("prepare_script") is None:
            yield (
                "prepare_script",
                f"{title} has no prepare_script",
                "a benchmark has one, which writes its jsonl_fpath",
            )
        return
    yield from _source_problems(title, dataset)
    yield from _license_problems(title, kind, dataset.get("license"))


def _license_problems(title: str, kind: Any, licence: Any) -> Iterator[tuple[str, str, str]]:
    if licence is None:
        if kind in ("train", "validation"):
            yield "license", f"{title} needs a license", "add `license:`, such as Apache 2.0 or TBD"
    elif licence not in LICENSES:
        hint = did_you_mean(licence, LICENSES) or f"one of: {'; '.join(LICENSES)}"
        yield "license", f"{title} has the unknown license {licence!r}", hint


def _source_problems(title: str, dataset: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """``source:`` (0.4 and later) says where to download from, and excludes the older identifiers."""
    source = dataset.get("source")
    if source is None:
        return
    older = [key for key in ("gitlab_identifier", "huggingface_identifier") if dataset.get(key) is not None]
    if older:
        yield "source", f"{title} has both source and {older[0]}", "keep source, which is the newer one"
    needed = {"gitlab": ("dataset_name", "version", "artifact_fpath"), "huggingface": ("repo_id",)}
    kind = source.get("type") if isinstance(source, dict) else None
    if kind not in needed:
        yield "source", f"{title}: source is of type {kind!r}", "one of gitlab, huggingface"
    elif missing := [key for key in needed[str(kind)] if source.get(key) is None]:
        yield "source", f"{title}: source has no {', '.join(missing)}", f"a {kind} source has {', '.join(needed[kind])}"
