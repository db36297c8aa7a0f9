"""What must hold between and within servers: references, addresses, domains, datasets, global values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gymctl.config.blocks.block_reader import read_block
from gymctl.config.blocks.stack_keys import GlobalKeys, GymctlKeys, HeadKeys
from gymctl.config.diagnostics import Findings, NoteCode, dotted
from gymctl.config.model import Head, Reference, ServerInstance
from gymctl.config.upstream import DOMAINS, RELAY
from gymctl.config.vocabulary import EVERY_INTERFACE_HOSTS, HEAD_NAME, LOOPBACK, Role, ServerKind, is_server_entry
from gymctl.config.wording import did_you_mean
from gymctl.errors import ErrorCode


def check_globals(values: Mapping[str, Any], findings: Findings) -> Head:
    """The top-level values that gymctl itself reads, apart from blocks with readers of their own; the head's address.

    The head's address may be left out in part (NeMo Gym then fails when only the port is given).
    """
    plain = {key: value for key, value in values.items() if key in GlobalKeys.model_fields}
    if plain:
        read_block(GlobalKeys, plain, (), findings)
    if values.get("gymctl") is not None:
        read_block(GymctlKeys, values["gymctl"], ("gymctl",), findings)
    written = values.get(HEAD_NAME)
    if written is None:
        return Head()
    head = read_block(HeadKeys, written, (HEAD_NAME,), findings) or HeadKeys()
    return Head(head.host, head.port)


def check_references(
    servers: Mapping[str, ServerInstance], resolved: Mapping[str, Any], findings: Findings, role: Role = Role.ALL
) -> tuple[dict[str, ServerInstance], dict[str, ServerKind]]:
    """Every reference points at a server of its kind; one to an almost-server is reported with that, not here.

    Returns the servers that have a process, and the servers of other machines: with a role, a direct reference to a
    name that no server here has is to one of those.

    One in a field of its own that does not is a problem, as upstream has it. One deeper inside may never be used (a map
    of verifiers of which a data set names one): it is noted, and taken out of ``references``.
    """
    remote: dict[str, ServerKind] = {}
    checked = dict(servers)
    for server in servers.values():
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
            remaining = tuple(reference for reference in server.references if reference not in lost)
            checked[server.name] = replace(server, references=remaining)
    return _without_relays(checked), remote


def _without_relays(servers: Mapping[str, ServerInstance]) -> dict[str, ServerInstance]:
    """The servers that have a process: the relay of an agent has none, the agent itself answers in its place."""
    return {
        name: server
        for name, server in servers.items()
        if (server.kind, server.implementation) != (ServerKind.ENVIRONMENT, RELAY)
    }


def _leads_somewhere(reference: Reference, servers: Mapping[str, ServerInstance]) -> bool:
    target = servers.get(reference.name)
    return target is not None and target.kind is reference.kind


def _unknown_reference(
    server: ServerInstance, reference: Reference, servers: Mapping[str, ServerInstance], findings: Findings
) -> None:
    same_kind = [other.name for other in servers.values() if other.kind is reference.kind]
    namesake = servers.get(reference.name)
    if namesake is not None:
        hint = f"{reference.name} is defined under {namesake.kind.value}"
    elif same_kind:
        hint = did_you_mean(reference.name, same_kind) or f"available: {', '.join(same_kind)}"
    else:
        hint = f"add a configuration that defines a server under {reference.kind.value}"
    problem = f"{server.name}.{dotted(reference.path)} refers to {reference.kind.value}/{reference.name!r}"
    path = (*server.path, *reference.path, "name")
    problem += ", which is not defined"
    if len(reference.path) > 1:
        findings.note(NoteCode.UNKNOWN_REFERENCE, path, problem, hint)
    else:
        findings.problem(path, problem, hint)


def check_addresses(servers: Mapping[str, ServerInstance], head: Head, default: Any, findings: Findings) -> None:
    """No two servers claim one port of one host; ``default`` is the host of those that name none."""
    taken = [(head.host or default or LOOPBACK, head.port, "the head server")]
    for server in servers.values():
        if server.port is None or server.at is not None:
            continue
        host = server.host or default or LOOPBACK
        other = next((name for place, port, name in taken if port == server.port and _same(host, place)), None)
        if other:
            problem = f"{server.name}: port {server.port} is already used by {other}"
            findings.problem(
                (*server.path, "port"), problem, "choose another port, or remove `port`", ErrorCode.PORT_REPEATED
            )
        taken.append((host, server.port, server.name))


def _same(one: str, other: str) -> bool:
    return one == other or one in EVERY_INTERFACE_HOSTS or other in EVERY_INTERFACE_HOSTS


def check_domain(server: ServerInstance, findings: Findings) -> None:
    """A resources server has a domain: NeMo Gym refuses to start without one."""
    if server.kind is ServerKind.RESOURCES and server.fields.get("domain") is None:
        problem = f"{server.name}: a resources server needs a domain"
        findings.problem(server.path, problem, f"one of {', '.join(DOMAINS)}")
