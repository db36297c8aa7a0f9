"""The names of fields are the ones that the collector writes."""

from __future__ import annotations

from gymctl.results import fields
from gymctl.rollouts import keys


def test_the_names_are_the_collectors() -> None:
    shared = {name for name in vars(keys) if name.isupper()} & set(vars(fields))
    assert {"TASK_INDEX", "ROLLOUT_INDEX", "AGENT_REF", "TIMING", "FAILURE", "FAILURE_CLASS"} <= shared
    for name in shared:
        assert getattr(fields, name) == getattr(keys, name)
