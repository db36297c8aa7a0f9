"""The pipeline from arguments to a complete ``Config``: read, merge, resolve, find servers, check."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config.blocks.edge import read_edge
from gymctl.config.blocks.hop_tokens import read_tokens
from gymctl.config.blocks.log_shipping import read_logs
from gymctl.config.blocks.observation import read_observe
from gymctl.config.blocks.placement import read_placements
from gymctl.config.blocks.ray import RayBlock, check_address, cluster_address, read_ray
from gymctl.config.blocks.telemetry import read_telemetry
from gymctl.config.bundled_names import find_bundled, with_bundled
from gymctl.config.checks import check_addresses, check_domain, check_globals, check_references
from gymctl.config.choices import MergeOrder
from gymctl.config.derived_fields import with_derived_fields
from gymctl.config.diagnostics import Findings, NoteCode, dotted
from gymctl.config.lints import advise, note_merge_order, silenced_codes
from gymctl.config.model import Config, ConfigSource, Head, ServerInstance
from gymctl.config.port_checks import check_published
from gymctl.config.secrets import find_secrets, long_numbers
from gymctl.config.server_placement import place_servers
from gymctl.config.servers import SKIP, find_servers
from gymctl.config.settings.server_settings import check_settings
from gymctl.config.sources.directives import apply_directives
from gymctl.config.sources.layers import Layers, read_layers
from gymctl.config.sources.merge import merge_layers
from gymctl.config.sources.recipe import recipe_note
from gymctl.config.sources.resolve import resolve
from gymctl.config.vllm.blocks import read_blocks
from gymctl.config.vllm.links import NO_KEY, attach, detach
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, RAY_BLOCK, Role
from gymctl.errors import ConfigError, Problem


@dataclass(frozen=True)
class Loaded:
    """A configuration and everything wrong with it. ``config`` is as complete as the problems allow."""

    config: Config
    problems: tuple[Problem, ...]


def load_config(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    merge_order: MergeOrder | None = None,
    gym_root: Path | None = None,
    gym_version: str | None = None,
    role: Role = Role.ALL,
) -> Config:
    """Load, merge, resolve and check the configuration that command-line arguments name.

    Args:
        arguments: YAML paths, globs, directories and overrides, in any order.
        cwd: the directory that relative paths and ``env.yaml`` are looked for in.
        environ: for ``NEMO_GYM_EXTRA_ROOTS`` and ``${oc.env:...}``.
        merge_order: whether an included file wins over its includer; by default ``gymctl.merge_order``, else it wins.
        gym_root: a NeMo Gym checkout, looked in after ``cwd`` and before what is bundled.
        gym_version: the release of NeMo Gym that servers run on; by default the one in ``gym_root``.
        role: this machine's part in a stack on several; then servers may refer to those of other machines.

    Raises:
        InputError: an argument is wrong, or a file is missing.
        ConfigError: the configuration is wrong; every problem with its place.
    """
    loaded = read_config(
        arguments,
        cwd=cwd,
        environ=environ,
        merge_order=merge_order,
        gym_root=gym_root,
        gym_version=gym_version,
        role=role,
    )
    if loaded.problems:
        raise ConfigError(list(loaded.problems))
    return loaded.config


def read_config(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    merge_order: MergeOrder | None = None,
    gym_root: Path | None = None,
    gym_version: str | None = None,
    role: Role = Role.ALL,
) -> Loaded:
    """As ``load_config``, but problems of the configuration are returned with it.

    Raises:
        InputError: an argument is wrong, or a file is missing.
        ConfigError: a file is not valid YAML.
    """
    layers = read_layers(
        arguments, cwd=cwd, environ=environ, order=merge_order, gym_root=gym_root, gym_version=gym_version
    )
    findings = Findings(silenced=silenced_codes(layers.all))
    raw, links = detach(_merged(layers, findings), findings)
    resolved = resolve(raw, environ, findings)
    if findings.problems:  # nothing more is known about unset values
        return _unfinished(raw, resolved, layers, findings)
    vllm = read_blocks(resolved, cwd, findings)
    raw, resolved = _with_bundled(raw, attach(resolved, links, vllm, findings), layers, findings)
    servers = _servers(resolved, layers, findings)
    resolved, ray = _ray(resolved, servers, environ, findings)
    head = check_globals(resolved, findings)
    placements = read_placements(resolved.get("placement"), findings)
    servers = place_servers(servers, placements, cwd, findings)
    _check_credentials(resolved, findings)
    servers, remote = check_references(servers, resolved, findings, role)
    check_addresses(servers, head, resolved.get("default_host"), findings)
    check_published(servers.values(), head, vllm.values(), _own_cluster(resolved, ray), findings, role)
    advise(servers, resolved, layers.files, findings)
    _check_not_empty(servers, role, layers, findings)
    config = Config(
        servers=servers,
        head=head,
        values={name: value for name, value in resolved.items() if name not in servers},
        secrets=_secrets(raw, resolved, layers),
        bundled=assets.folder("services"),
        roots=layers.roots,
        files=tuple(document.name for document in layers.files),
        **_stack_blocks(resolved, servers, findings),
        origins=findings.origins,
        resolved=resolved,
        advice=tuple(findings.notes),
        merge_order=layers.order,
        placements=placements,
        remote=remote,
        vllm=vllm,
        ray=ray,
        source=ConfigSource(tuple(arguments), cwd, gym_root),
    )
    return Loaded(config, tuple(dict.fromkeys(findings.problems)))


def _stack_blocks(
    resolved: Mapping[str, Any], servers: Mapping[str, ServerInstance], findings: Findings
) -> dict[str, Any]:
    """The blocks about a whole stack, by the fields of ``Config``."""
    return {
        "logs": read_logs(resolved, servers, findings),
        "observe": read_observe(resolved, findings),
        "telemetry": read_telemetry(resolved, servers, findings),
        "edge": read_edge(resolved, servers, findings),
        "tokens": read_tokens(resolved, servers, findings),
    }


def _merged(layers: Layers, findings: Findings) -> dict[str, Any]:
    """All layers in one, their directives applied."""
    note_merge_order(layers.ordered_as, layers.order, layers.includes, findings)
    for recipe in layers.recipes:
        findings.note_at(NoteCode.RECIPE, recipe.document.name, recipe_note(recipe))
    return apply_directives(merge_layers(layers.all, layers.includes, findings), findings)


def _with_bundled(
    raw: Mapping[str, Any], resolved: Mapping[str, Any], layers: Layers, findings: Findings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both configurations with the bundled servers that replace NeMo Gym's; the resolved one with derived fields."""
    renamed = find_bundled(resolved, layers.roots, findings)
    return with_bundled(raw, renamed), with_derived_fields(with_bundled(resolved, renamed))


def _check_not_empty(servers: Collection[str], role: Role, layers: Layers, findings: Findings) -> None:
    """That no server was found is a problem of all the files, unless something else explains it."""
    if not servers and role in (Role.ALL, Role.WORKER) and not findings.problems:
        names = ", ".join(document.name for document in layers.files)
        findings.problems.append(Problem(names, "no server is defined", "add a configuration that defines one"))


def _unfinished(raw: Mapping[str, Any], resolved: dict[str, Any], layers: Layers, findings: Findings) -> Loaded:
    """A configuration with unset values, as far as it is known: the values and their origins."""
    own = Findings(findings.origins, findings.silenced)
    config = Config(
        servers=find_servers(resolved, layers.roots, own),
        head=Head(),
        values=resolved,
        secrets=_secrets(raw, resolved, layers),
        bundled=assets.folder("services"),
        roots=layers.roots,
        files=tuple(document.name for document in layers.files),
        origins=findings.origins,
        resolved=resolved,
        merge_order=layers.order,
    )
    return Loaded(config, tuple(dict.fromkeys(findings.problems)))


def _ray(
    resolved: dict[str, Any], servers: Mapping[str, ServerInstance], environ: Mapping[str, str], findings: Findings
) -> tuple[dict[str, Any], RayBlock | None]:
    """The values with the address of the cluster that the environment names, and the ``ray:`` block."""
    written = None if RAY_BLOCK in servers else resolved.get(RAY_BLOCK)
    if address := cluster_address(resolved, written is not None, environ, findings):
        resolved = {**resolved, RAY_ADDRESS_KEY: address}
    check_address(resolved.get(RAY_ADDRESS_KEY), findings)
    return resolved, read_ray(written, resolved.get(RAY_ADDRESS_KEY), findings)


def _own_cluster(resolved: Mapping[str, Any], ray: RayBlock | None) -> RayBlock | None:
    """The Ray cluster that the stack starts; None if the configuration has the address of another one."""
    if resolved.get(RAY_ADDRESS_KEY):
        return None
    return ray


def _secrets(raw: Mapping[str, Any], resolved: Mapping[str, Any], layers: Layers) -> dict[str, str]:
    """Environment name -> secret, without the placeholder key for a vLLM that requires none."""
    secrets = find_secrets(raw, resolved, layers.env.data if layers.env else {})
    return {name: value for name, value in secrets.items() if value != NO_KEY}


def _check_credentials(resolved: Mapping[str, Any], findings: Findings) -> None:
    for path in long_numbers(resolved):
        findings.problem(
            path, f"{dotted(path)} contains a credential as a number", "put it in quotes: a secret must be a string"
        )


def _servers(resolved: Mapping[str, Any], layers: Layers, findings: Findings) -> dict[str, ServerInstance]:
    """The servers; with ``error_on_almost_servers: false`` those with problems are left out, with notes."""
    is_strict = resolved.get("error_on_almost_servers") is not False
    own = Findings(findings.origins, findings.silenced)
    servers = find_servers(resolved, layers.roots, own)
    for server in servers.values():
        if server.at is None:
            check_domain(server, own)
            check_settings(server, own)
    findings.notes += own.notes
    if is_strict:
        findings.problems += own.problems
        return servers
    for problem in own.problems:
        hint = problem.hint.removesuffix(SKIP)
        findings.note_at(NoteCode.SKIPPED_SERVER, problem.where, f"skipped: {problem.message}", hint)
    return {name: server for name, server in servers.items() if not own.concerns(server.name)}
