"""The start of a stack is watched to its end: what failed is reported once everything else was started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from gymctl.engines.compose import watch as module
from gymctl.engines.compose.watch import ServerFailed, Watch
from gymctl.engines.docker.containers import Container

ENDED = Container("a", "broken", "exited", "", "t1", exit_code=3)
RAY_STARTS = Container("r", "ray-head", "running", "starting", "t1")
RAY = Container("r", "ray-head", "running", "healthy", "t1")
WAITS = Container("w", "waits", "created", "", "")
CANNOT_START = Container("w", "waits", "created", "", "", error="port is already allocated")
STARTS = Container("w", "waits", "running", "starting", "t2")
NAMES = {name: name for name in ("broken", "ray-head", "waits")}


class Compose:
    """A Compose whose code is read once for each look."""

    output = "compose failed"

    def __init__(self, *codes: int | None) -> None:
        self.codes = list(codes)

    def poll(self) -> int | None:
        return self.codes.pop(0)


class WatchStart(Protocol):
    """Watches a Compose with these containers at each look; returns the failure, and how often it looked."""

    def __call__(self, compose: Compose, *looks: list[Container], timeout: float = 60.0) -> tuple[str, int]: ...


@pytest.fixture(name="watched")
def watched_fixture(monkeypatch: pytest.MonkeyPatch) -> WatchStart:
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setattr(module, "log_tail", lambda client, container: ("a line",))

    def watch(compose: Compose, *looks: list[Container], timeout: float = 60.0) -> tuple[str, int]:
        left: Iterator[list[Container]] = iter(looks)
        monkeypatch.setattr(module, "find_containers", lambda client, project: next(left))
        with pytest.raises(ServerFailed) as caught:
            Watch(None, "demo", NAMES, lambda event: None).until_healthy(compose, timeout)  # type: ignore[arg-type]
        return str(caught.value), len(looks) - len(list(left))

    return watch


def test_a_server_that_waits_for_ray_is_started_although_another_failed(watched: WatchStart) -> None:
    looks = [[ENDED, RAY_STARTS, WAITS], [ENDED, RAY_STARTS], [ENDED, RAY, WAITS], [ENDED, RAY, STARTS]]
    text, count = watched(Compose(None, None, None, None, None), *looks, [])
    assert "broken" in text and "code 3" in text
    assert count == len(looks)


def test_nobody_is_waited_for_in_vain(watched: WatchStart) -> None:
    assert watched(Compose(None, None), [ENDED, RAY, STARTS], [])[1] == 1  # everything was started
    assert watched(Compose(None, None), [ENDED, RAY, CANNOT_START], [])[1] == 1  # it cannot be
    assert watched(Compose(None, 1, 1), [ENDED, WAITS], [ENDED, WAITS], [])[1] == 2  # Compose gave up
    assert watched(Compose(None, None), [ENDED, WAITS], [], timeout=-1.0)[1] == 1  # its time is over


def test_a_container_that_ends_while_compose_replaces_it_is_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    restarted = Container("a", "broken", "exited", "", "t2", exit_code=143)
    replacement = Container("b", "broken", "running", "healthy", "t3")
    looks = iter([[restarted], [replacement]])
    monkeypatch.setattr(module, "find_containers", lambda client, project: next(looks))
    watch = Watch(None, "demo", {"broken": "broken"}, lambda event: None, {"a": ENDED})
    watch.until_healthy(Compose(None, 0), 60.0)  # type: ignore[arg-type]
    assert not list(looks)


@pytest.mark.parametrize("code", [0, 1])
def test_a_container_that_was_started_again_and_ended_is_a_failure(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setattr(module, "log_tail", lambda client, container: ())
    restarted = Container("a", "broken", "exited", "", "t2", exit_code=3)
    monkeypatch.setattr(module, "find_containers", lambda client, project: [restarted])
    watch = Watch(None, "demo", {"broken": "broken"}, lambda event: None, {"a": ENDED})
    with pytest.raises(ServerFailed, match="broken exited with code 3"):
        watch.until_healthy(Compose(code, code), 60.0)  # type: ignore[arg-type]
