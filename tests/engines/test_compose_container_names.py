"""Prefixes of log lines of containers that an update has renamed."""

from __future__ import annotations

import pytest

from gymctl.engines.compose.container_names import without_project


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("policy-1  | text", "policy-1  | text"),
        ("mine-policy-1  | text", "policy-1       | text"),
        ("mine-policy-12 | a | b", "policy-12      | a | b"),
        ("mine-agent-1 | text", "mine-agent-1 | text"),  # a server of that name
        ("mine-gymctl-edge-1 | text", "gymctl-edge-1      | text"),
        ("mine-policy: text", "mine-policy: text"),
        ("", ""),
    ],
)
def test_a_prefix_names_the_server_and_not_the_project(line: str, expected: str) -> None:
    assert without_project(line, "mine", {"policy", "mine-agent"}) == expected
