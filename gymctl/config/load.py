"""The pipeline from arguments to a complete ``Config``: read, merge, resolve, find servers, check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config.checks import (
    check_addresses,
    check_fields,
    check_globals,
    check_head,
    check_needed,
    check_references,
)
from gymctl.config.choices import MergeOrder
from gymctl.config.diagnostics import Findings, NoteCode, dotted
from gymctl.config.directives import apply_directives
from gymctl.config.layers import Layers, read_layers
from gymctl.config.lints import advise, silenced_codes
from gymctl.config.merge import merge_layers
from gymctl.config.model import Config, ConfigSource, Head, ServerInstance
from gymctl.config.placement import Placements, read_placements
from gymctl.config.port_checks import check_published
from gymctl.config.ray import RayBlock, read_ray
from gymctl.config.resolve import resolve
from gymctl.config.secrets import find_secrets, long_numbers
from gymctl.config.server_placement import place_servers
from gymctl.config.servers import SKIP, find_servers
from gymctl.config.upstream import take_ours
from gymctl.config.vllm.blocks import read_blocks
from gymctl.config.vllm.links import NO_KEY, attach, detach
from gymctl.config.vllm.model import VllmBlock
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, Role
from gymctl.errors import ConfigError, Problem


def load_config(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    merge_order: MergeOrder | None = None,
    gym_root: Path | None = None,
    role: Role = Role.ALL,
) -> Config:
    """Load, merge, resolve and check the configuration that command-line arguments name.

    Args:
        arguments: YAML paths, globs, directories and overrides, in any order.
        cwd: the directory that relative paths and ``env.yaml`` are looked for in.
        environ: for ``NEMO_GYM_EXTRA_ROOTS`` and ``${oc.env:...}``.
        merge_order: whether an included file wins over its includer; by default ``gymctl.merge_order``, else it wins.
        gym_root: a NeMo Gym checkout, looked in after ``cwd`` and before what is bundled.
        role: this machine's part in a stack on several; then servers may refer to those of other machines.

    Raises:
        InputError: an argument is wrong, or a file is missing.
        ConfigError: the configuration is wrong; every problem with its place.
    """
    layers = read_layers(arguments, cwd=cwd, environ=environ, order=merge_order, gym_root=gym_root)
    findings = Findings(silenced=silenced_codes(layers.all))
    raw = merge_layers(layers.all, layers.includes, findings)
    apply_directives(raw, findings)
    links = detach(raw, findings)
    resolved = resolve(raw, environ, findings)
    _stop_at(findings)
    blocks = attach(resolved, links, read_blocks(resolved, cwd, findings), findings)
    take_ours(resolved, raw, layers.roots, findings)
    servers = _servers(resolved, layers, findings)
    ray = read_ray(resolved, servers, environ, findings)
    head = check_head(resolved, findings)
    placements, servers = _placed(servers, resolved, cwd, findings)
    _check_values(resolved, findings)
    remote = check_references(servers, resolved, findings, role)
    _check_ports(servers, head, blocks, ray, resolved, findings, role)
    advise(servers, resolved, layers.files, findings)
    _stop_at(findings, None if servers or role not in (Role.ALL, Role.WORKER) else layers)
    return Config(
        servers=servers,
        head=head,
        values={name: value for name, value in resolved.items() if name not in servers},
        secrets=_secrets(raw, resolved, layers),
        bundled=assets.folder("services"),
        roots=layers.roots,
        files=tuple(document.name for document in layers.files),
        notes=tuple(str(note) for note in findings.notes),
        origins=findings.origins,
        resolved=resolved,
        advice=tuple(findings.notes),
        merge_order=layers.order,
        placements=placements,
        remote=remote,
        vllm=blocks,
        ray=ray,
        source=ConfigSource(tuple(arguments), cwd, gym_root),
    )


def _placed(
    servers: dict[str, ServerInstance], resolved: dict[str, Any], cwd: Path, findings: Findings
) -> tuple[Placements, dict[str, ServerInstance]]:
    """The top-level ``placement:``, and the servers with what holds for each."""
    placements = read_placements(resolved.get("placement"), findings)
    return placements, place_servers(servers, resolved, placements, cwd, findings)


def _secrets(raw: Mapping[str, Any], resolved: Mapping[str, Any], layers: Layers) -> dict[str, str]:
    """Environment name -> secret; the word by which a vLLM is called that asks for no key is none."""
    found = find_secrets(raw, resolved, layers.env.data if layers.env else {})
    return {name: value for name, value in found.items() if value != NO_KEY}


def _check_values(resolved: Mapping[str, Any], findings: Findings) -> None:
    check_globals(resolved, findings)
    for path in long_numbers(resolved):
        findings.problem(path, f"{dotted(path)} holds a credential as a number", "put it in quotes: a secret is text")


def _check_ports(
    servers: Mapping[str, ServerInstance],
    head: Head,
    blocks: Mapping[str, VllmBlock],
    ray: RayBlock | None,
    resolved: Mapping[str, Any],
    findings: Findings,
    role: Role,
) -> None:
    check_addresses(servers, head, resolved.get("default_host"), findings)
    check_published(
        servers.values(), head, blocks.values(), None if resolved.get(RAY_ADDRESS_KEY) else ray, findings, role
    )


def _stop_at(findings: Findings, empty: Layers | None = None) -> None:
    """End with the problems there are; ``empty``: the layers, when no server was found in them."""
    if empty is not None and not findings.problems:
        names = ", ".join(document.name for document in empty.files)
        findings.problems.append(Problem(names, "no server is defined here", "add a configuration that defines one"))
    if findings.problems:
        raise ConfigError(list(dict.fromkeys(findings.problems)))


def _servers(resolved: dict[str, Any], layers: Layers, findings: Findings) -> dict[str, ServerInstance]:
    """The servers; with ``error_on_almost_servers: false`` what is wrong with the others is only noted."""
    strict = resolved.get("error_on_almost_servers") is not False
    found = Findings(findings.origins, findings.silenced)
    servers = find_servers(resolved, layers.roots, found)
    for server in list(servers.values()):
        before = len(found.problems)
        check_fields(server, found)
        check_needed(server, found)
        if not strict and len(found.problems) > before:
            del servers[server.name]
    if strict:
        findings.problems += found.problems
    for problem in () if strict else found.problems:
        hint = problem.hint.removesuffix(SKIP)
        findings.note_at(NoteCode.SKIPPED_SERVER, problem.where, f"skipped: {problem.message}", hint)
    return servers
