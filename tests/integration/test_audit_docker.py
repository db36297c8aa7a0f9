"""The audit of a running stack finds what the audit of its file finds."""

import pytest

from gymctl.operations.audit import audit_file, audit_running

pytestmark = pytest.mark.docker


def ids(audit):
    return {finding.rule.id for finding in audit.findings}


def test_a_running_stack_has_the_findings_of_its_file(stack):
    stack.up()
    of_file = audit_file(stack.directory / "compose.yaml")
    running = audit_running(stack.directory)
    assert ids(running) == ids(of_file)
    assert running.score == of_file.score


def test_what_was_changed_by_hand_is_a_finding(stack):
    stack.up(lambda services: services["example_single_tool_call"].update(read_only=False, user="0:0", cap_drop=[]))
    audit = audit_running(stack.directory)
    changed = {"writable-root", "root-user", "kept-capabilities"}
    assert changed <= ids(audit)
    evidence = {item.subject for finding in audit.findings if finding.rule.id in changed for item in finding.evidence}
    assert evidence == {"example_single_tool_call"}
