"""Twenty secrets planted in every way a user may write one: none is to be seen, each is where it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.docker

ENV = """\
policy_base_url: http://user:planted-01-url@localhost:1/v1
policy_api_key: planted-02-key
policy_model_name: planted-03-from-env
judge: {{key: planted-04-nested, more: [planted-05-list]}}
quoted: "planted-06 $HOME \\\\${{x}} 'quote' \\\\ # é🙂"
several_lines: |
  planted-07 first
  second line
"""

STACK = """\
config_paths:
- responses_api_models/openai_model/configs/openai_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
head_server: {{host: 127.0.0.1, port: {port}}}
judge_model:
  responses_api_models:
    openai_model:
      entrypoint: app.py
      openai_base_url: https://judge.invalid/v1/user=a:b
      openai_api_key: planted-08-inline
      openai_model: judge
      openai_default_headers:
        x-api-key: planted-09-header
        authorization: Bearer planted-10-bearer
      extra_body:
        password: planted-11-password
        deeper: [{{client_secret: planted-12-deep}}]
      nested_from_env: ${{judge.key}}
      list_from_env: ${{judge.more}}
      odd: ${{quoted}}
      lines: ${{several_lines}}
      inside: "https://x.invalid/?token=${{judge.key}}&a=1"
search:
  resources_servers:
    example_single_tool_call:
      entrypoint: app.py
      domain: agent
      google_api_key: planted-13-search
      google_cx: ${{oc.env:PLANTED_CX}}
      proxy: http://me:planted-15-proxy@proxy.invalid:3128
      credentials: {{user: planted-16-credentials}}
      hf_token: planted-17-token
      db_dsn: postgres://u:planted-18-dsn@db/x
      hidden_passphrase: planted-19-passphrase
search_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: search}}
      model_server: {{type: responses_api_models, name: judge_model}}
"""

PLANTED = [f"planted-{number:02d}" for number in range(1, 21)]


def gymctl(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "gymctl.cli.main", *arguments]
    environ = {**os.environ, "PLANTED_CX": "planted-14-environment"}
    done = subprocess.run(command, check=False, cwd=directory, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout + done.stderr


def seen_in(text: str) -> list[str]:
    return [secret for secret in PLANTED if secret in text]


class PlantedStack(NamedTuple):
    """A running stack with the secrets, and the port of its head."""

    directory: Path
    name: str
    port: int


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedStack]:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = tmp_path_factory.mktemp("planted")
    (directory / "env.yaml").write_text(ENV.format())
    (directory / "stack.yaml").write_text(STACK.format(port=port))
    name = f"gymctl-test-secrets-{os.getpid()}"
    key = "++search.example_single_tool_call.extra_token=planted-20-argument"
    gymctl(directory, "up", "stack.yaml", key, "--name", name)
    yield PlantedStack(directory, name, port)
    gymctl(directory, "down")


def containers(name: str) -> list[str]:
    return docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}").split()


def test_nothing_that_is_written_or_shown_holds_a_secret(stack: PlantedStack) -> None:
    directory, name, port = stack
    outputs = {
        "rendered file": (directory / "compose.yaml").read_text(),
        "status": gymctl(directory, "status"),
        "logs": docker("compose", "--project-directory", str(directory), "logs", "--no-color"),
        "config show": gymctl(directory, "config", "show", "stack.yaml"),
    }
    for item in containers(name):
        outputs[f"inspect {item}"] = docker("inspect", item)
        outputs[f"top {item}"] = docker("top", item, "-eo", "pid,args")
        image = docker("inspect", "--format", "{{.Image}}", item).strip()
        outputs[f"image {item}"] = docker("image", "inspect", image)
        outputs[f"history {item}"] = docker("history", "--no-trunc", image)
    for path in Path(directory / ".gymctl").rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            outputs[str(path)] = path.read_text()
    for route in ("global_config_dict_yaml", "server_instances"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{route}", timeout=5) as reply:
            outputs[route] = reply.read().decode()
    assert {place: seen_in(text) for place, text in outputs.items() if seen_in(text)} == {}


def test_each_secret_is_readable_in_the_containers_that_need_it_and_no_other(stack: PlantedStack) -> None:
    directory, _, _ = stack
    needed = {
        "policy_model": ["planted-01", "planted-02", "planted-03"],
        "judge_model": [f"planted-{number:02d}" for number in (4, 5, 6, 7, 8, 9, 10, 11, 12)],
        "search": [f"planted-{number}" for number in (13, 14, 15, 16, 17, 18, 19, 20)],
        "search_agent": [],
        "example_single_tool_call": [],
        "example_single_tool_call_simple_agent": [],
        "head": [],
    }
    script = "cat /run/secrets/* 2>/dev/null; cat /proc/[0-9]*/environ 2>/dev/null; true"
    for service, secrets in needed.items():
        text = docker("compose", "--project-directory", str(directory), "exec", "-T", service, "sh", "-c", script)
        assert seen_in(text) == secrets, service


def test_the_servers_got_their_values_unchanged(stack: PlantedStack) -> None:
    directory, _, _ = stack
    script = (
        "import json, os, glob\n"
        "pids = [p.split('/')[2] for p in glob.glob('/proc/[0-9]*/cmdline')"
        " if open(p, 'rb').read() == b'python\\0app.py\\0']\n"
        "environ = dict(e.split('=', 1) for e in open(f'/proc/{pids[-1]}/environ').read().split('\\0') if e)\n"
        "os.environ.update(environ)\n"
        "from gymctl.server.settings import settings_from_environment\n"
        "print(json.dumps(dict(settings_from_environment(environ).fields)))"
    )
    command = ["compose", "--project-directory", str(directory), "exec", "-T", "judge_model", "python", "-c", script]
    fields = json.loads(docker(*command))
    assert fields["odd"] == "planted-06 $HOME ${x} 'quote' \\ # é🙂"
    assert fields["lines"] == "planted-07 first\nsecond line\n"
    assert fields["inside"] == "https://x.invalid/?token=planted-04-nested&a=1"
    assert fields["list_from_env"] == ["planted-05-list"]
    assert fields["openai_base_url"] == "https://judge.invalid/v1/user=a:b"


def test_the_list_of_secrets_agrees(stack: PlantedStack) -> None:
    directory, _, _ = stack
    readers = json.loads(gymctl(directory, "secrets", "list", "stack.yaml", "--json").split("\n")[0])
    assert readers["GYM_POLICY_API_KEY"] == ["policy_model"]
    assert readers.pop("GYMCTL_POLICY_TOKEN") == ["head"]
    assert not any("head" in services for services in readers.values())
