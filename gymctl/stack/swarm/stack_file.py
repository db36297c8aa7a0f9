"""The last steps for Swarm in one call: plan to document, checked, translated, checked again, to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gymctl.config.vocabulary import EDGE_TOKEN
from gymctl.errors import ConfigError
from gymctl.stack.compose.rules import check_document
from gymctl.stack.compose.yaml import MARKER, again, render_document
from gymctl.stack.plan import StackPlan
from gymctl.stack.render import SECRETS_DIR, compose_document
from gymctl.stack.swarm.options import SwarmOptions
from gymctl.stack.swarm.report import KeyChange
from gymctl.stack.swarm.translation import translate


@dataclass(frozen=True)
class SwarmRendering:
    """A stack file's text, and what the translation changed.

    ``name`` is the stack's, which ``docker stack deploy`` takes as an argument; ``files`` belong next to the
    stack file (path relative to it -> bytes). ``services`` are those of the plan that the stack file has.
    """

    name: str
    services: tuple[str, ...]
    text: str
    changes: tuple[KeyChange, ...]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def render_swarm(
    plan: StackPlan,
    *,
    arguments: Sequence[str] = (),
    secrets_dir: str = SECRETS_DIR,
    images: Mapping[str, str] | None = None,
    contents: Mapping[str, bytes] | None = None,
) -> SwarmRendering:
    """The plan's stack file.

    Args:
        plan: what to render.
        arguments: what the user gave, for the header.
        secrets_dir: where the secrets' files are, relative to the stack file.
        images: image of the plan -> the one to deploy, such as its digest in a registry.
        contents: ``file:`` of further secrets and configs -> bytes; the plan's own secrets are known.

    Raises:
        ConfigError: the document breaks a rule, or holds what Swarm cannot do.
    """
    document = compose_document(plan, secrets_dir=secrets_dir)
    if problems := check_document(document):
        raise ConfigError(problems)
    place = secrets_dir.rstrip("/")
    known = {f"{place}/{name}": value.encode("utf-8", "surrogateescape") for name, value in plan.secrets.items()}
    options = SwarmOptions(
        images=images or {}, contents={**known, **(contents or {})}, is_encrypted=has_encrypted_networks(plan)
    )
    translation = translate(document, options)
    if problems := check_document(translation.document):
        raise ConfigError(problems)
    header = _header(plan.name, arguments)
    text = render_document(translation.document, header)
    services = tuple(translation.document.services)
    return SwarmRendering(translation.name, services, text, translation.changes, translation.files)


def has_encrypted_networks(plan: StackPlan) -> bool:
    """Whether the traffic of a stack is encrypted between nodes: if its ``edge`` lets clients outside call it."""
    return any(EDGE_TOKEN in service.secrets for service in plan.services)


def _header(name: str, arguments: Sequence[str]) -> list[str]:
    return [
        (
            f"{MARKER}. Manual changes will be overwritten. Regenerate with: "
            f"{again(arguments, '--target swarm -o stack.yaml')}"
        ),
        f"# docker stack deploy --resolve-image never -c FILE {name}, once the images are on every node and the",
        "# secret files that this file refers to exist; `gymctl up --engine swarm` takes care of both.",
        (
            "# NEMO_GYM_CONFIG_DICT is the part of the configuration that a server needs; `$` is escaped as "
            "`$$` for Docker."
        ),
    ]
