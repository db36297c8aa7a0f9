"""Log lines of a stack at a real rsyslog, and Docker's own opinion of the options that a configuration may have."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from command_line import Folder
from rsyslog_container import Rsyslog, docker, running_rsyslog

from gymctl.config.blocks.log_shipping import OPTIONS
from gymctl.config.choices import LogDriver

pytestmark = pytest.mark.docker

STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
log_format: json
logs:
  driver: syslog
  options: {{syslog-address: "tcp://127.0.0.1:{port}", syslog-facility: local3{more}}}
"""
KEPT = "policy_model: {logging: {driver: json-file}}\n"
SERVERS = ("policy_model", "example_single_tool_call", "example_single_tool_call_simple_agent")
# Values that Docker accepts, where another text would not do
VALUES = {
    "syslog-address": "tcp://127.0.0.1:514",
    "syslog-facility": "local0",
    "syslog-format": "rfc5424micro",
    "gelf-address": "udp://127.0.0.1:12201",
    "gelf-compression-type": "zlib",
    "fluentd-address": "127.0.0.1:24224",
    "fluentd-buffer-limit": "1m",
    "fluentd-async-reconnect-interval": "1s",
    "fluentd-retry-wait": "1s",
    "mode": "non-blocking",
    "tag": "{{.Name}}",
    **dict.fromkeys(("max-size", "cache-max-size", "max-buffer-size"), "1m"),
    **dict.fromkeys(("labels", "labels-regex", "env", "env-regex"), "a"),
    **dict.fromkeys(("syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key"), "/etc/a.pem"),
    **dict.fromkeys(("compress", "cache-compress", "cache-disabled", "syslog-tls-skip-verify"), "true"),
    **dict.fromkeys(("fluentd-async", "fluentd-request-ack", "fluentd-sub-second-precision"), "true"),
}
ADDRESSES = {"syslog": "syslog-address", "gelf": "gelf-address", "fluentd": "fluentd-address"}


@pytest.fixture(scope="module")
def rsyslog() -> Iterator[Rsyslog]:
    with running_rsyslog("--publish", "127.0.0.1::514") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


def eventually(problem: Callable[[], str]) -> None:
    """Wait until there is no problem, a minute at most."""
    deadline = time.monotonic() + 60
    while text := problem():
        assert time.monotonic() < deadline, text
        time.sleep(0.2)


def missing(tags: Iterable[str], lines: Sequence[str]) -> str:
    absent = [tag for tag in tags if not any(tag in line for line in lines)]
    return f"no line has {absent} among {lines}" if absent else ""


def up(folder: Folder, text: str) -> None:
    (folder.path / "stack.yaml").write_text(text)
    started = folder.up("stack.yaml")
    assert started.returncode == 0, started.stderr


def test_a_stacks_lines_reach_rsyslog_and_gymctl_says_where_they_are(folder: Folder, rsyslog: Rsyslog) -> None:
    up(folder, STACK.format(port=rsyslog.port, more=""))
    tags = [f"local3 {folder.name}-{server}-1[" for server in (*SERVERS, "head")]
    eventually(lambda: missing(tags, rsyslog.lines()))
    message = next(line for line in rsyslog.lines() if tags[0] in line and "{" in line).partition("{")[2]
    assert json.loads("{" + message)["server"] == "policy_model"

    copied = folder.gymctl("logs", "policy_model")
    assert copied.returncode == 0, copied.stderr
    assert '"server":' in copied.stdout, "Docker keeps a copy by default"

    up(folder, STACK.format(port=rsyslog.port, more=', cache-disabled: "true"') + KEPT)
    alone = folder.gymctl("logs", SERVERS[1])
    assert alone.returncode == 1
    assert f"sent to syslog (tcp://127.0.0.1:{rsyslog.port}), and Docker keeps no copy" in alone.stderr
    together = folder.gymctl("logs")
    assert together.returncode == 0, together.stderr
    assert f"sent to syslog (tcp://127.0.0.1:{rsyslog.port})" in together.stdout
    assert any(line.startswith("policy_model") and '"server":' in line for line in together.stdout.splitlines())


@pytest.mark.parametrize("driver", list(LogDriver))
def test_docker_takes_every_option_that_a_configuration_may_have(driver: LogDriver) -> None:
    for option in OPTIONS[driver]:
        options = {}
        if driver in ADDRESSES:
            options[ADDRESSES[driver]] = VALUES[ADDRESSES[driver]]
        if option.startswith("gelf-tcp"):
            options["gelf-address"] = "tcp://127.0.0.1:12201"
        if option == "max-buffer-size":
            options["mode"] = "non-blocking"
        options[option] = VALUES.get(option, "2")
        arguments = [part for name, value in options.items() for part in ("--log-opt", f"{name}={value}")]
        created = docker("create", "--log-driver", driver.value, *arguments, "python:3.12-slim", "true")
        docker("rm", created)
