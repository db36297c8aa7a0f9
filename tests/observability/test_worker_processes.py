"""The processes of one server show one set of metrics, whichever of them is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port

pytestmark = pytest.mark.processes

APP = """\
import os
from gymctl.server import ModelServer

class Fixed(ModelServer):
    async def responses(self, params, session):
        return {"pid": os.getpid()}

Fixed.serve()
"""
REQUESTS = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "tmp").mkdir()
    port = free_port()
    fields = f"{{entrypoint: app.py, host: 127.0.0.1, port: {port}, num_workers: 3}}"
    environ = {
        **os.environ,
        "NEMO_GYM_CONFIG_PATH": "m",
        "NEMO_GYM_CONFIG_DICT": f"{{observe: true, m: {{responses_api_models: {{x: {fields}}}}}}}",
        "TMPDIR": str(tmp_path / "tmp"),
    }
    process = subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path, env=environ)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(60)
    assert list((tmp_path / "tmp").glob("gymctl-metrics-*")) == []


def asked(url: str, body: bytes | None = None) -> str:
    """The reply; asked again until the server listens."""
    deadline = time.monotonic() + 120
    while True:
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request) as reply:
                return str(reply.read().decode())
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_every_process_shows_the_requests_of_all(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    address, process = server
    asked(address + "/")
    for _ in range(REQUESTS):
        asked(f"{address}/v1/responses", b"{}")
    count = 'gymctl_http_request_duration_seconds_count{code="200",kind="responses_api_models",server="m"} '
    starts = set()
    for _ in range(6):
        page = asked(f"{address}/metrics")
        assert f"{count}{REQUESTS:.1f}\n" in page
        assert 'gymctl_requests_in_flight{kind="responses_api_models",server="m"} 0.0' in page
        starts.add(next(line for line in page.splitlines() if line.startswith("gymctl_start_time_seconds{")))
    assert len(starts) == 1
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
