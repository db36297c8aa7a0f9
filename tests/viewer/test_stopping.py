"""The end of ``gymctl view``."""

from __future__ import annotations

import http.client
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from view_process import TOKEN, start_view
from view_rows import write_run

from gymctl.viewer.runs import Run

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_and_in_order_while_a_page_is_open(
    number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rollouts.jsonl"
    write_run(path, seed=1, tasks=3)
    process, base = start_view(str(path), cwd=tmp_path)
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
    address = f"/api/runs/{Run.of(path, tmp_path).id}/events"
    connection.request("GET", address, headers={"Authorization": f"Bearer {TOKEN}"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    process.send_signal(number)
    assert b"data:" not in response.read()  # the stream ends
    process.wait(20)
    connection.close()
    assert process.stdout
    process.stdout.close()
    assert "Traceback" not in capfd.readouterr().err
