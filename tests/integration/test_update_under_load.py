"""10,000 calls by clients that never try again, from inside and outside of a stack, while all of it is updated.

``GYMCTL_UPDATE_CALLS`` and ``GYMCTL_UPDATE_RATE`` set other numbers for one run.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Folder
from free_ports import free_port
from updated_stack import (
    MODEL,
    containers,
    inside,
    lost,
    steady_calls,
    targets_inside,
    targets_outside,
    up,
    write,
)

from gymctl import assets
from gymctl.engines.docker.containers import PROJECT
from gymctl.engines.docker.daemon import connect

pytestmark = [pytest.mark.docker, pytest.mark.lab]

CALLS = int(os.environ.get("GYMCTL_UPDATE_CALLS", "10000"))
RATE = float(os.environ.get("GYMCTL_UPDATE_RATE", "200"))
ROLLED_BACK_S = 10
BUNDLED = "responses_api_models/scripted_model"
BROKEN = "import no_such_module\n"


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("place", ["inside", "outside"])
def test_an_update_of_everything_loses_none_of_10000_calls(folder: Folder, replicas: int, place: str) -> None:
    edge_port = free_port() if place == "outside" else 0
    write(folder, "1", replicas, edge_port)
    up(folder)
    before = containers(folder)
    if place == "inside":
        calls = steady_calls(inside(folder), targets_inside(folder), RATE)
    else:
        ca_file = str(folder.path / ".gymctl" / "edge-ca.pem")
        calls = steady_calls([sys.executable], targets_outside(folder, edge_port), RATE, ca_file)
    with calls as results:
        ends = time.monotonic() + CALLS / RATE + 1
        time.sleep(2)
        write(folder, "2", replicas, edge_port)
        done = up(folder)
        time.sleep(max(2.0, ends - time.monotonic()))
    assert lost(results) == {}
    assert sum(result["calls"] for result in results.values()) >= CALLS
    assert "4 replaced" in done.stderr
    assert len(set(containers(folder).values()) & set(before.values())) == (1 if edge_port else 0), "but for the edge"


def test_a_broken_image_loses_no_call_and_is_gone_soon(folder: Folder) -> None:
    own = folder.path / "responses_api_models" / "own"
    own.mkdir(parents=True)
    (own / "app.py").write_text((assets.folder("services") / BUNDLED / "app.py").read_text())
    write(folder, "1", 2)
    stack = folder.path / "stack.yaml"
    lines = stack.read_text().splitlines()
    kept = [line for line in lines if BUNDLED not in line and not line.startswith(f"{MODEL}:")]
    model = f"{MODEL}: {{replicas: 2, responses_api_models: {{own: {{entrypoint: app.py}}}}}}"
    stack.write_text("\n".join([*kept, model, ""]))
    up(folder)
    before = containers(folder)
    with steady_calls(inside(folder), targets_inside(folder), RATE) as results:
        ends = time.monotonic() + CALLS / RATE + 1
        time.sleep(2)
        (own / "app.py").write_text(BROKEN)
        began = time.time()
        failed = up(folder, code=1)
        ended = time.time()
        filters = {"label": f"{PROJECT}={folder.name}", "event": "die"}
        died = [event["timeNano"] / 1e9 for event in connect("").api.events(began, ended, filters, decode=True)]
        time.sleep(max(0.0, ends - time.monotonic()))
    assert "no_such_module" in failed.stderr
    assert f"{MODEL} exited with code 1" in failed.stderr
    assert lost(results) == {}
    assert sum(result["calls"] for result in results.values()) >= CALLS
    assert containers(folder) == before
    assert ended - min(died) < ROLLED_BACK_S
