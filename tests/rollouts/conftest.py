from __future__ import annotations

import pytest

from gymctl.rollouts import agent_health


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in hundredths of a second instead of quarters."""
    monkeypatch.setattr(agent_health, "_PAUSE_START_S", 0.01)
    monkeypatch.setattr(agent_health, "_PAUSE_CAP_S", 0.05)
    monkeypatch.setattr(agent_health, "_PAUSE_CAP_ERROR_S", 0.02)
