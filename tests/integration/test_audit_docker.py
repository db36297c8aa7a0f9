"""The audit of a running stack finds what the audit of its file finds."""

from __future__ import annotations

import pytest
from small_stack import SmallStack

from gymctl.operations.audit import audit_file, audit_running
from gymctl.stack.audit.evaluation import Audit

pytestmark = pytest.mark.docker


def ids(audit: Audit) -> set[str]:
    return {finding.rule.id for finding in audit.findings}


def test_a_running_stack_has_the_findings_of_its_file(stack: SmallStack) -> None:
    stack.up()
    of_file = audit_file(stack.directory / "compose.yaml")
    running = audit_running(stack.directory)
    assert ids(running) == ids(of_file)
    assert running.score == of_file.score


def test_what_was_changed_by_hand_is_a_finding(stack: SmallStack) -> None:
    stack.up(lambda services: services["example_single_tool_call"].update(read_only=False, user="0:0", cap_drop=[]))
    audit = audit_running(stack.directory)
    changed = {"writable-root", "root-user", "kept-capabilities"}
    assert changed <= ids(audit)
    evidence = {item.subject for finding in audit.findings if finding.rule.id in changed for item in finding.evidence}
    assert evidence == {"example_single_tool_call"}
