"""A stack of containers with ``tokens: true``: who gets in, what each container knows, and new tokens under load."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from command_line import EXAMPLE, GYMCTL, Folder
from free_ports import free_port
from token_routes import ROUTES, check_routes, routes_argument

from gymctl.config.blocks.hop_tokens import HopTokens

pytestmark = pytest.mark.docker

MODEL = "policy_model"
TOOL = "example_single_tool_call"
AGENT = "example_single_tool_call_simple_agent"
STEPS = "example_multi_step_resources_server"
STEPS_AGENT = "example_multi_step_simple_agent"
SERVERS = {"head_server": "head", **{name: name for name in (MODEL, TOOL, AGENT, STEPS, STEPS_AGENT)}}

SEEN = "cat /run/secrets/* 2>/dev/null; cat /proc/[0-9]*/environ 2>/dev/null; true"


@pytest.fixture(scope="module")
def edge_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, edge_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path_factory.mktemp("tokens"), free_port())
    started = made.up(EXAMPLE, "++tokens=true", f"++edge={{port: {edge_port}, rate_limit: 5000}}")
    assert started.returncode == 0, started.stderr
    yield made
    made.gymctl("down")
    made.clean()


def secret(folder: Folder, name: str = "gymctl-tokens") -> Path:
    return folder.path / ".gymctl" / "secrets" / name


def tokens(folder: Folder) -> dict[str, str]:
    calls = HopTokens.parse(secret(folder).read_text()).calls
    return {name: values[0] for name, values in calls.items()}


def containers(folder: Folder) -> dict[str, str]:
    """When each container was started, by its name."""
    label = f"label=com.docker.compose.project={folder.name}"
    names = folder.docker("ps", "--filter", label, "--format", "{{.Names}}").split()
    return {name: folder.docker("inspect", "--format", "{{.State.StartedAt}}", name).strip() for name in names}


def execute(folder: Folder, service: str, *command: str) -> str:
    return folder.docker("exec", f"{folder.name}-{service}-1", *command)


def collected(folder: Folder, output: str, repeats: int) -> None:
    """Collect; every rollout must succeed."""
    rows = len((EXAMPLE / "rows.jsonl").read_text().splitlines())
    options = ["-i", EXAMPLE / "rows.jsonl", "-o", output, "--num-repeats", repeats, "--no-report"]
    done = folder.gymctl("collect", *options)
    assert done.returncode == 0, done.stderr
    results = (folder.path / output).read_text().splitlines()
    assert len(results) == rows * repeats
    assert (folder.path / output.replace(".jsonl", "_failures.jsonl")).read_text() == ""


def test_every_route_but_health_checks_needs_a_token(folder: Folder) -> None:
    output = execute(folder, "head", "python", "-c", ROUTES, routes_argument(tokens(folder)))
    check_routes(output, set(SERVERS))


def test_200_rollouts_are_collected(folder: Folder) -> None:
    rows = len((EXAMPLE / "rows.jsonl").read_text().splitlines())
    collected(folder, "out.jsonl", -(-200 // rows))


def test_a_container_has_only_the_tokens_of_the_servers_that_it_calls(folder: Folder) -> None:
    known = {
        "head": {"head_server"},
        MODEL: {MODEL},
        TOOL: {TOOL},
        STEPS: {STEPS},
        AGENT: {AGENT, MODEL, TOOL},
        STEPS_AGENT: {STEPS_AGENT, MODEL, STEPS},
        "gymctl-edge": {"head_server", AGENT, STEPS_AGENT},
    }
    all_tokens = tokens(folder)
    for service, names in known.items():
        text = execute(folder, service, "sh", "-c", SEEN)
        assert {name for name, token in all_tokens.items() if token in text} == names, service


def test_no_token_is_shown_anywhere(folder: Folder) -> None:
    shown = {
        "rendered": (folder.path / "compose.yaml").read_text(),
        "logs": folder.docker("compose", "logs", "--no-color"),
        "config": folder.gymctl("config", "show", EXAMPLE, "++tokens=true").stdout,
        "plan": folder.gymctl("plan", "--json").stdout,
        "secrets": folder.gymctl("secrets", "list", EXAMPLE, "++tokens=true").stdout,
        "audit": folder.gymctl("audit", "--json").stdout,
    }
    for name in containers(folder):
        shown[f"inspect {name}"] = folder.docker("inspect", name)
        shown[f"top {name}"] = folder.docker("top", name, "-eo", "pid,args")
    assert all(shown.values())
    for path in folder.path.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            shown[str(path)] = path.read_bytes().decode("latin-1")
    assert [place for place, text in shown.items() if any(token in text for token in tokens(folder).values())] == []


def test_the_audit_of_the_running_stack_finds_the_tokens(folder: Folder) -> None:
    findings = json.loads(folder.gymctl("audit", "--json").stdout)["findings"]
    assert not {"tokens-between-servers", "head-without-token", "environment-secret"} & {
        finding["id"] for finding in findings
    }


class Client:
    """Calls an agent and the head through the edge, and never repeats a call."""

    def __init__(self, folder: Folder, port: int) -> None:
        token = (folder.path / ".gymctl/edge-token").read_text().strip()
        trust = ssl.create_default_context(cafile=folder.path / ".gymctl/edge-ca.pem")
        headers = {"authorization": f"Bearer {token}", "x-gymctl-token": "made-up"}
        self.statuses: Counter[int | str] = Counter()
        self._http = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, headers=headers, timeout=30)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def _call(self) -> None:
        while not self._stop.is_set():
            for path in ("/server_instances", f"/servers/{AGENT}/openapi.json"):
                try:
                    self.statuses[self._http.get(path).status_code] += 1
                except httpx.HTTPError as error:
                    self.statuses[repr(error)] += 1
            time.sleep(0.02)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._http.close()


def test_tokens_are_replaced_while_the_stack_works(folder: Folder, edge_port: int) -> None:
    before = tokens(folder)
    started = containers(folder)
    with Client(folder, edge_port) as client:
        command = [
            *GYMCTL,
            "collect",
            "-i",
            str(EXAMPLE / "rows.jsonl"),
            "-o",
            "rotated.jsonl",
            "--num-repeats",
            "1000",
        ]
        collecting = subprocess.Popen(
            [*command, "--no-report", "--concurrency", "4"], cwd=folder.path, stderr=subprocess.PIPE
        )
        time.sleep(3)
        rotated = [folder.gymctl("secrets", "rotate") for _ in range(2)]
        assert [done.stdout for done in rotated] == ["6 tokens replaced\n"] * 2, rotated[0].stderr
        is_collecting = collecting.poll() is None
        assert collecting.wait(timeout=240) == 0, collecting.stderr
    assert is_collecting
    assert (folder.path / "rotated_failures.jsonl").read_text() == ""
    assert set(client.statuses) == {200}
    assert client.statuses[200] > 200
    assert containers(folder) == started
    after = tokens(folder)
    assert set(after) == set(before)
    assert set(after.values()).isdisjoint(before.values())
    url = f"http://127.0.0.1:{folder.port}/server_instances"
    for values, status in ((before, 401), (after, 200)):
        assert httpx.get(url, headers={"x-gymctl-token": values["head_server"]}).status_code == status
    plan = folder.gymctl("plan")
    assert plan.returncode == 0, plan.stdout


def test_a_plan_shows_a_changed_token_as_a_digest(folder: Folder) -> None:
    path = secret(folder)
    text = path.read_text()
    calls = dict(HopTokens.parse(text).calls)
    calls[STEPS] = ("another-token-for-the-environment",)
    path.write_text(HopTokens(calls=calls).text)
    try:
        plan = folder.gymctl("plan", "--json")
        assert plan.returncode == 3, plan.stderr
        changed = {item["name"]: item["reasons"] for item in json.loads(plan.stdout)["servers"] if item["reasons"]}
        assert set(changed) == {STEPS, STEPS_AGENT}
        for name, reasons in changed.items():
            (reason,) = reasons
            assert reason["path"] == f"secrets.gymctl-tokens-{name}"
            assert reason["old"].startswith("sha256:")
            assert reason["new"].startswith("sha256:")
        assert "another-token" not in plan.stdout
    finally:
        path.write_text(text)


def test_replicas_have_the_same_tokens(folder: Folder) -> None:
    scaled = folder.gymctl("scale", f"{AGENT}=2", f"{STEPS}=2")
    assert scaled.returncode == 0, scaled.stderr
    collected(folder, "scaled.jsonl", 10)
    assert folder.gymctl("secrets", "rotate").returncode == 0
    collected(folder, "again.jsonl", 10)
