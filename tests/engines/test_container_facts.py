"""What a stack does with the facts of a machine: umask, user namespaces, kills for memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gymctl.engines.atomic_files import current_umask, new_file_mode
from gymctl.engines.docker.containers import Container, memory_kills, server_status
from gymctl.engines.docker.jobs import _with_umask, as_this_user
from gymctl.engines.own_folder import write_files
from gymctl.engines.server_address import ServerAddress

SERVER = ServerAddress("a", "resources_servers", "a", "http://a:1")
MEBIBYTE = 2**20


@pytest.fixture(params=[0o022, 0o002, 0o077, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    earlier = os.umask(request.param)
    yield request.param
    os.umask(earlier)


def test_files_and_jobs_follow_the_umask(umask: int, tmp_path: Path) -> None:
    assert (current_umask(), new_file_mode()) == (umask, 0o666 & ~umask)
    write_files(tmp_path, {"config": b"x"})
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o666 & ~umask
    assert _with_umask(["python", "-m", "x"]) == [
        "sh",
        "-c",
        f'umask {umask:03o} && exec "$@"',
        "sh",
        "python",
        "-m",
        "x",
    ]


class Engine:
    """The part of a Docker client that answers."""

    def __init__(self, options: Sequence[str] = (), events: Sequence[dict[str, Any]] = ()) -> None:
        self.api = self
        self._options = options
        self._events = events

    def info(self) -> dict[str, list[str]]:
        return {"SecurityOptions": list(self._options)}

    def events(self, **options: Any) -> list[dict[str, Any]]:
        assert options["filters"]["event"] == "oom"
        return [event for event in self._events if event["Actor"]["ID"] in options["filters"]["container"]]


def test_a_job_writes_as_this_user_whatever_the_engine_maps() -> None:
    user = f"{os.getuid()}:{os.getgid()}"
    assert as_this_user(Engine())[:2] == ["--user", user]
    assert as_this_user(Engine(["name=rootless"])) == ["--user", "0:0"]
    mapped = as_this_user(Engine(["name=seccomp,profile=builtin", "name=userns"]))
    assert mapped[:4] == ["--user", user, "--userns", "host"]


def container(identity: str, *, restarts: int = 0, memory_limit: int = 0, out_of_memory: bool = False) -> Container:
    return Container(
        id=identity,
        service="a",
        state="running",
        health="healthy",
        started_at="2026-01-01T00:00:00Z",
        restarts=restarts,
        out_of_memory=out_of_memory,
        memory_limit=memory_limit,
    )


def test_a_kill_for_memory_is_named_with_its_limit_after_the_restart() -> None:
    killed = container("1", restarts=2, memory_limit=192 * MEBIBYTE)
    oom = {"Actor": {"ID": "1"}}
    kills = memory_kills(Engine(events=[oom, oom]), [killed, container("2")])
    assert kills == {"1": 2}
    error = server_status(SERVER, [killed, container("2")], kills).error
    assert error == "was killed 2 times, out of memory: its limit is 192 MiB (resources.memory)"
    assert server_status(SERVER, [container("2")], kills).error == ""


def test_a_kill_is_named_before_the_restart_and_without_a_limit() -> None:
    ended = container("1", out_of_memory=True, memory_limit=2 * 2**30)
    assert server_status(SERVER, [ended]).error.endswith("its limit is 2 GiB (resources.memory)")
    assert "this machine ran out of memory" in server_status(SERVER, [container("1", out_of_memory=True)]).error


def test_the_engine_is_not_asked_where_nothing_was_restarted() -> None:
    assert memory_kills(None, [container("1")]) == {}
