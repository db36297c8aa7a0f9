"""The head, and what other machines tell it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
import yaml

from gymctl import assets
from gymctl.server import Call, Client, LocalTransport, Server
from gymctl.server.run.loader import load_server_class
from gymctl.server.settings import settings_from_mapping

GET = ("/nodes", "/server_instances", "/global_config_dict_yaml")


def a_head(servers: dict[str, Any] | None = None) -> Server:
    cls = load_server_class(assets.folder("services") / "head", "app.py")
    whole = {"head_server": {"token": "t"}, **(servers or {})}
    return cls(settings_from_mapping(whole, "head_server"), Client(LocalTransport({})))


async def register(head: Server, url: str, kind: str = "responses_api_models") -> Any:
    server = {"name": "policy", "kind": kind, "implementation": "openai_model", "url": url}
    body = orjson.dumps({"token": "t", "node": "gpu1", "servers": [server]})
    return await head.handle(Call("/nodes", body))


@pytest.mark.enable_socket
@pytest.mark.parametrize("url", ["http://10.0.0.2:99999", "http://fd00::1:8081", "http://10.0.0.2:0", "http://:80"])
def test_an_address_that_is_none_is_refused_and_hurts_nobody(url: str) -> None:
    async def work() -> tuple[int, set[int]]:
        head = a_head()
        await head.startup()
        try:
            refused = await register(head, url)
            assert b"url" in refused.body
            return refused.status, {(await head.handle(Call(path, method="GET"))).status for path in GET}
        finally:
            await head.shutdown()

    assert asyncio.run(work()) == (422, {200})


def test_watching_goes_on_after_a_look_that_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> int:
        head = a_head()
        monkeypatch.setitem(vars(type(head))["_watch_all"].__globals__, "POLL_S", 0.01)
        looks = []

        async def look() -> None:
            looks.append(1)
            if len(looks) == 1:
                raise RuntimeError("no table")

        monkeypatch.setattr(head, "_look", look)
        await head.startup()
        await asyncio.sleep(0.2)
        await head.shutdown()
        return len(looks)

    assert asyncio.run(work()) > 2
    assert "no table" in caplog.text


async def status_of(head: Server, path: str) -> int:
    return (await head.handle(Call(path, method="GET"))).status


async def environment_servers(head: Server) -> dict[str, Any]:
    """What the head's dict has of them, by name."""
    values = yaml.safe_load(orjson.loads((await head.handle(Call("/global_config_dict_yaml", method="GET"))).body))
    entries = ((name, value) for name, value in values.items() if "environment_servers" in (value or {}))
    return {name: value["environment_servers"]["legacy_agent"] for name, value in entries}


def test_it_is_ready_once_every_server_has_answered_and_alive_at_once() -> None:
    async def work() -> list[int]:
        head = a_head({"policy": {"responses_api_models": {"m": {"host": "127.0.0.1", "port": 9}}}})
        await head.startup()
        try:
            statuses = [await status_of(head, path) for path in ("/livez", "/readyz", "/healthz", "/health")]
            head.client = Client(LocalTransport({"policy": head}))  # whoever answers is up
            statuses.append(await status_of(head, "/readyz"))
            head.client = Client(LocalTransport({}))
            return [*statuses, await status_of(head, "/readyz")]
        finally:
            await head.shutdown()

    assert asyncio.run(work()) == [200, 503, 503, 503, 200, 200]


def test_an_agent_that_registers_is_fronted_as_those_of_the_stack_are() -> None:
    fields = {"entrypoint": "app.py", "host": "10.0.0.1", "port": 8081}

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        head = a_head({"math_agent": {"responses_api_agents": {"simple_agent": fields}}})
        await head.startup()
        try:
            before = await environment_servers(head)
            await register(head, "http://10.0.0.2:8082", kind="responses_api_agents")
            return before, await environment_servers(head)
        finally:
            await head.shutdown()

    before, after = asyncio.run(work())
    assert before.keys() == {"math_environment_server"}
    assert after["math_environment_server"] == before["math_environment_server"]
    relay = after["policy_environment_server"]
    assert (relay["host"], relay["port"]) == ("10.0.0.2", 8082)


OUTSIDE = {"ports": {"agent": 8085}, "host": "", "inside": "head"}
STACK = {
    "agent": {"responses_api_agents": {"simple_agent": {"host": "agent", "port": 8081, "entrypoint": "app.py"}}},
    "policy": {"responses_api_models": {"openai_model": {"host": "policy", "port": 8000, "entrypoint": "app.py"}}},
}


def exposing_head(**entry: Any) -> Server:
    return a_head({**STACK, "head_server": {"host": "0.0.0.0", "port": 11000, "gymctl_outside": {**OUTSIDE, **entry}}})


async def seen_by(head: Server, host: str | None) -> dict[str, tuple[str, int]]:
    """The addresses in the head's dict and on its list, for a client that calls it by that name."""
    headers = [(b"host", host.encode())] if host is not None else []
    reply = await head.handle(Call("/global_config_dict_yaml", method="GET", headers=headers))
    values = yaml.safe_load(orjson.loads(reply.body))
    addresses = {name: next(iter(next(iter(values[name].values())).values())) for name in STACK}
    addresses["relay"] = values["agent_environment_server"]["environment_servers"]["legacy_agent"]
    listed = orjson.loads((await head.handle(Call("/server_instances", method="GET", headers=headers))).body)
    assert {item["process_name"]: (item["host"], item["port"]) for item in listed} == {
        name: (addresses[name]["host"], addresses[name]["port"]) for name in STACK
    }
    is_outside = addresses["agent"]["host"] != "agent"
    assert values["head_server"]["host"] == (addresses["agent"]["host"] if is_outside else "0.0.0.0")
    return {name: (fields["host"], fields["port"]) for name, fields in addresses.items()}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:11000", "127.0.0.1"),
        ("LOCALHOST:11000", "localhost"),
        ("10.0.0.7", "10.0.0.7"),
        ("[fd00::7]:11000", "[fd00::7]"),
        ("host.docker.internal:11000", "host.docker.internal"),
        ("header.example:1", "header.example"),
    ],
)
def test_clients_outside_get_addresses_where_they_found_the_head(host: str, expected: str) -> None:
    async def work() -> dict[str, tuple[str, int]]:
        head = exposing_head()
        await head.startup()
        try:
            assert (await seen_by(head, "head:11000"))["agent"] == ("agent", 8081)
            return await seen_by(head, host)
        finally:
            await head.shutdown()

    seen = asyncio.run(work())
    assert seen == {"agent": (expected, 8085), "relay": (expected, 8085), "policy": ("policy", 8000)}


@pytest.mark.parametrize("host", ["head:11000", "head", None])
def test_clients_within_the_stack_get_the_addresses_of_its_network(host: str | None) -> None:
    async def work() -> dict[str, tuple[str, int]]:
        head = exposing_head()
        await head.startup()
        try:
            await seen_by(head, "127.0.0.1:11000")
            return await seen_by(head, host)
        finally:
            await head.shutdown()

    assert asyncio.run(work())["agent"] == ("agent", 8081)


def test_an_advertised_host_is_given_to_clients_outside_only() -> None:
    async def work() -> list[tuple[str, int]]:
        head = exposing_head(host="gym.example.com")
        await head.startup()
        try:
            return [(await seen_by(head, host))["agent"] for host in ("10.0.0.7:11000", "head:11000")]
        finally:
            await head.shutdown()

    assert asyncio.run(work()) == [("gym.example.com", 8085), ("agent", 8081)]


def test_any_number_of_names_by_which_it_is_called_takes_a_bounded_memory() -> None:
    async def work() -> int:
        head = exposing_head()
        await head.startup()
        try:
            for number in range(200):
                await seen_by(head, f"10.0.0.{number}")
            return len(vars(head)["_documents"])
        finally:
            await head.shutdown()

    assert asyncio.run(work()) < 50


def test_a_server_has_the_folder_that_its_code_is_in() -> None:
    async def folders() -> dict[str, str]:
        kind = "responses_api_models"
        entry = {kind: {"openai_model": {"entrypoint": "app.py", "host": "h", "port": 1}}}
        servers = {"theirs": entry, "ours": entry}
        head = a_head({**servers, "head_server": {"gymctl_folders": {"theirs": "/opt/gym/x"}}})
        await head.startup()
        try:
            listed = orjson.loads((await head.handle(Call("/server_instances", method="GET"))).body)
            served = orjson.loads((await head.handle(Call("/global_config_dict_yaml", method="GET"))).body)
        finally:
            await head.shutdown()
        assert "gymctl_folders" not in served
        return {item["process_name"]: item["dir_path"] for item in listed}

    ours = str(assets.folder("services") / "responses_api_models" / "openai_model")
    assert asyncio.run(folders()) == {"theirs": "/opt/gym/x", "ours": ours}
