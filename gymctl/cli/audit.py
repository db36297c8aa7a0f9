"""``gymctl audit``: how a stack is protected, with a finding for every protection that is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.cli.colours import SEVERITY_COLOURS, label
from gymctl.cli.help import INSPECT
from gymctl.cli.options import (
    AsJson,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    Publish,
    SliceOption,
    StackName,
    load_configuration,
)
from gymctl.config.choices import SliceMode

if TYPE_CHECKING:
    from gymctl.stack.audit.evaluation import Audit, Finding

_MOST_EVIDENCE = 5

Audited = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|CONFIG|OVERRIDE",
        help="A Compose or stack file, or a configuration as for `gymctl up`.",
        show_default="the running stack of this directory",
    ),
]
MinScore = Annotated[
    int | None,
    typer.Option("--min-score", help="Exit with code 1 if the score is lower.", min=0, max=100, show_default="none"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=INSPECT)(audit)


def audit(
    audited: Audited = None,
    min_score: MinScore = None,
    name: StackName = None,
    slices: SliceOption = SliceMode.CLOSURE,
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    publish: Publish = None,
    as_json: AsJson = False,
) -> None:
    """List security weaknesses of a running stack, a rendered file or a configuration. Changes nothing.

    \b
    Examples:
      gymctl audit
      gymctl audit compose.yaml
      gymctl audit examples/quickstart --min-score 80
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.operations import audit as operation
    from gymctl.operations.configuration import PlanOptions

    file = operation.compose_file_of(audited or (), Path.cwd())
    if not audited:
        result = operation.audit_running()
    elif file is not None:
        result = operation.audit_file(file)
    else:
        config = load_configuration(audited, merge_order, gym_root=gym_root, gym_version=gym_version)
        options = PlanOptions(name=name, slice_mode=slices, gym_version=gym_version, publish=publish)
        result = operation.audit_configuration(config, options)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else "\n".join(_lines(result)))
    if min_score is not None and result.score < min_score:
        raise typer.Exit(1)


def _lines(result: Audit) -> Iterator[str]:
    """The findings as lines of text, the score last."""
    for finding in result.findings:
        yield from _finding_lines(finding)
    counts = f"{result.rules} rules, {len(result.findings)} with findings"
    yield f"{result.name}: score {result.score} of 100 ({counts})"


def _finding_lines(finding: Finding) -> Iterator[str]:
    severity = finding.rule.severity
    word = label(f"{severity:<8}", SEVERITY_COLOURS[severity], sys.stdout)
    yield f"{word} {finding.rule.id}: {finding.rule.title}"
    for item in finding.evidence[:_MOST_EVIDENCE]:
        yield f"         {': '.join(filter(None, (item.subject, item.text)))}"
    more = len(finding.evidence) - _MOST_EVIDENCE
    if more > 0:
        yield f"         and {more} more (--json lists them)"
    yield f"         fix: {finding.rule.cure}"
