"""A local stack with ``tokens: true``: who may call it, what commands send, and new tokens while it is called."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_stack import EXAMPLE, CommandResult
from free_ports import free_port

from gymctl.server import Client
from gymctl.server.calls.http import HttpTransport
from gymctl.server.hop_tokens import TokenFile

pytestmark = pytest.mark.processes

Gymctl = Callable[..., CommandResult]
AGENT = "example_single_tool_call_simple_agent"
GYMCTL = [sys.executable, "-m", "gymctl.cli.main"]


@pytest.fixture
def stack(gymctl: Gymctl, folder: Path) -> Iterator[Path]:
    result = gymctl("up", EXAMPLE, "++tokens=true", "--engine", "local", f"+head_server.port={free_port()}")
    assert result.code == 0, result.err
    yield folder
    gymctl("down")


def urls(folder: Path) -> dict[str, str]:
    state = json.loads((folder / ".gymctl" / "stack.json").read_text())
    return {server["name"]: server["address"] for server in state["servers"]}


def tokens_in(folder: Path) -> set[str]:
    """Every token that the stack has now."""
    text = (folder / ".gymctl/secrets/gymctl-tokens").read_text()
    return {token for line in text.splitlines()[1:] for token in line.split()[1:]}


def status_of(url: str, token: str = "") -> int:
    request = urllib.request.Request(url, headers={"x-gymctl-token": token} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_commands_have_the_tokens_and_others_do_not(gymctl: Gymctl, stack: Path) -> None:
    head = urls(stack)["head"]
    for path, status in (("/global_config_dict_yaml", 401), ("/server_instances", 401), ("/", 200), ("/readyz", 200)):
        assert status_of(f"{head}{path}") == status, path
    token = gymctl("secrets", "token", "head").out.strip()
    assert status_of(f"{head}/server_instances", token) == 200
    assert status_of(f"{urls(stack)[AGENT]}/run", token) == 401
    wrong = gymctl("secrets", "token", "example_single_tool_call_simple_agen")
    assert (wrong.code, f"did you mean '{AGENT}'" in wrong.err) == (2, True)

    assert gymctl("status").code == 0
    collected = gymctl("collect", "-i", EXAMPLE / "rows.jsonl", "-o", "out.jsonl", "--num-repeats", 3)
    assert collected.code == 0, collected.err
    rows = (EXAMPLE / "rows.jsonl").read_text().splitlines()
    assert len(Path("out.jsonl").read_text().splitlines()) == 3 * len(rows)
    assert Path("out_failures.jsonl").read_text() == ""

    again = gymctl("up")
    assert again.code == 0, again.err
    assert gymctl("secrets", "token", "head").out.strip() == token


def test_tokens_end_with_the_stack_that_has_them(gymctl: Gymctl, stack: Path) -> None:
    other = stack / ".gymctl/secrets/GYM_KEY"
    other.write_text("of a rendered file in this directory")
    without = gymctl("up", EXAMPLE, "--engine", "local", f"+head_server.port={free_port()}")
    assert without.code == 0, without.err
    assert [path.name for path in (stack / ".gymctl/secrets").iterdir()] == ["GYM_KEY"]
    assert gymctl("secrets", "token", "head").code == 2


def test_no_token_is_written_anywhere_else(gymctl: Gymctl, stack: Path) -> None:
    gymctl("collect", "-i", EXAMPLE / "rows.jsonl", "-o", "out.jsonl")
    shown = gymctl("status", "--json").out + gymctl("logs").out + gymctl("config", "show", EXAMPLE, "++tokens=true").out
    files = [path for path in stack.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    texts = {"commands": shown} | {str(path): path.read_bytes().decode("latin-1") for path in files}
    tokens = tokens_in(stack)
    assert len(tokens) == 6
    assert [place for place, text in texts.items() if any(token in text for token in tokens)] == []
    folder = stack / ".gymctl/secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "gymctl-tokens").stat().st_mode & 0o777 == 0o600


def test_tokens_are_replaced_while_the_stack_is_called(gymctl: Gymctl, stack: Path) -> None:
    before = tokens_in(stack)

    async def scenario() -> list[int]:
        tokens = TokenFile(stack / ".gymctl/secrets/gymctl-tokens")
        client = Client(HttpTransport({"head_server": urls(stack)["head"]}, tokens=tokens))
        process = await asyncio.create_subprocess_exec(*GYMCTL, "secrets", "rotate", stdout=subprocess.PIPE)
        statuses = []
        while process.returncode is None:
            statuses.append((await client.get("head_server", "/server_instances")).status)
            await asyncio.sleep(0.01)
        output, _ = await process.communicate()
        assert (process.returncode, output) == (0, b"6 tokens replaced\n")
        statuses.append((await client.get("head_server", "/server_instances")).status)
        await client.close()
        return statuses

    statuses = asyncio.run(scenario())
    assert len(statuses) > 100
    assert set(statuses) == {200}
    assert tokens_in(stack).isdisjoint(before)
    assert len(tokens_in(stack)) == 6
    head = urls(stack)["head"]
    assert {status_of(f"{head}/server_instances", token) for token in before} == {401}
    assert "6 tokens replaced" in gymctl("history").out


def test_a_stack_without_tokens_says_what_to_do(gymctl: Gymctl, folder: Path) -> None:
    gymctl("up", EXAMPLE, "--engine", "local", f"+head_server.port={free_port()}")
    try:
        for command in (("rotate",), ("token", "head")):
            result = gymctl("secrets", *command)
            assert result.code == 2
            assert "have no tokens" in result.err
            assert "tokens: true" in result.err
    finally:
        gymctl("down")


def test_several_machines_are_refused(gymctl: Gymctl, folder: Path) -> None:
    address = "++head_server.host=127.0.0.1"
    result = gymctl("up", EXAMPLE, "++tokens=true", address, "--engine", "local", "--role", "coordinator")
    assert result.code == 2
    assert "tokens is not available with --role" in result.err
    assert not (folder / ".gymctl" / "secrets").exists()
