"""The sandbox inside a hardened container: no capability, no namespace of its own, nothing to write to, uid 10001."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gymctl.engines.runner import run
from gymctl.server.responses import message, response

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))
from harmful_programs import HARMFUL

pytestmark = pytest.mark.docker

SLICE = {
    "comp_coding": {
        "resources_servers": {
            "comp_coding": {
                "entrypoint": "app.py",
                "host": "0.0.0.0",
                "port": 8080,
                "unit_test_timeout_secs": 2.0,
                "memory_limit_mb": 512,
                "planted_api_key": "sk-planted",
            }
        }
    }
}


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[str]:
    """The server in a container as ``gymctl render`` makes them."""
    folder = "/opt/gymctl/services/resources_servers/comp_coding"
    options = "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --init --pids-limit 256"
    started = run(
        ["docker", "run", "--detach", "--publish", "127.0.0.1::8080", *options.split(), "--workdir", folder,
         "--env", "NEMO_GYM_CONFIG_PATH=comp_coding", "--env", f"NEMO_GYM_CONFIG_DICT={json.dumps(SLICE)}",
         image, "python", "app.py"],
        timeout=60,
    )  # fmt: skip
    identity = started.stdout.strip()
    try:
        yield identity
    finally:
        run(["docker", "rm", "--force", "--volumes", identity], timeout=60)


@pytest.fixture(scope="module")
def url(container: str) -> str:
    """Its address, once it answers."""
    port = run(["docker", "port", container, "8080"]).stdout.strip().rpartition(":")[2]
    address = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(address, timeout=5)
            break
        except OSError:
            time.sleep(0.1)
    return address


def verify(url: str, code: str) -> dict[str, Any]:
    row = {
        "responses_create_params": {"input": "Add."},
        "verifier_metadata": {"unit_tests": {"inputs": ["1 2\n"], "outputs": ["3\n"]}},
        "response": response("m", [message(f"```python\n{code}\n```")]),
    }
    asked = urllib.request.Request(f"{url}/verify", json.dumps(row).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as reply:
        verdict: dict[str, Any] = json.load(reply)
    return verdict


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_program_ends_as_a_failed_test_and_the_server_goes_on(url: str, name: str) -> None:
    code, outcomes, says = HARMFUL[name]
    verdict = verify(url, code)
    (test,) = verdict["unit_tests"]
    assert (verdict["reward"], test["passed"]) == (0.0, False)
    assert test["outcome"] in outcomes, verdict["metadata"]
    assert says in verdict["metadata"]["error"], verdict["metadata"]
    assert test["seconds"] < 8
    assert verify(url, "print(sum(map(int, input().split())))")["reward"] == 1.0


def test_nothing_of_the_servers_is_seen_or_left(url: str) -> None:
    seen = verify(url, "import os; print(os.getuid(), sorted(os.environ), os.listdir('.'))")["metadata"]["output"]
    assert seen.startswith("10001 ")
    assert "NEMO" not in seen
    for place in ("/proc/1/environ", "/opt/gymctl/services/head/app.py", "/tmp"):
        reads = f"import os; print(os.listdir({place!r}) if os.path.isdir({place!r}) else open({place!r}).read())"
        assert "Permission denied" in verify(url, reads)["metadata"]["error"]


LEFT = """
import os
from pathlib import Path
print(sorted(path.name for path in Path("/tmp").iterdir()))
for folder in Path("/proc").glob("[0-9]*"):
    if folder.name != str(os.getpid()) and b"solution_runner" in (folder / "cmdline").read_bytes():
        print(folder.name)
"""


def test_nothing_is_left_in_the_container(container: str, url: str) -> None:
    assert verify(url, "import os, time\nos.open('x', os.O_CREAT)\ntime.sleep(600)")["reward"] == 0.0
    assert run(["docker", "exec", container, "python", "-c", LEFT]).stdout == "['gymctl-ready', 'gymctl-sessions']\n"
