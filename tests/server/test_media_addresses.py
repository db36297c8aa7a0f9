"""Addresses of images and the like in a conversation: which ones a model's endpoint is asked to fetch."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import is_refused

from gymctl.server import RefusedError
from gymctl.server.models import media_addresses
from gymctl.server.models.media_addresses import MediaChecks, check_media

PUBLIC = "93.184.216.34"
NAMES = {"images.test": PUBLIC, "rebound.test": "169.254.169.254", "six.test": "::ffff:10.0.0.1"}


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (NAMES[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def check(request: Any, *hosts: str) -> None:
    asyncio.run(check_media(json.dumps(request).encode(), hosts))


def responses(url: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}


def chat(url: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


@pytest.mark.parametrize(
    "url",
    [
        "https://images.test/cat.png",
        "http://images.test:8080/cat.png?size=1#top",
        f"https://{PUBLIC}/cat.png",
        "https://[2606:2800:220:1::1]/cat.png",
        "https://unknown-here.test/cat.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "DATA:image/png;base64,iVBORw0KGgo=",
    ],
)
def test_public_addresses_and_data_pass(url: str) -> None:
    for request in (responses(url), chat(url)):
        check(request)


REFUSED = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "/etc/passwd",
    "etc/passwd",
    "//169.254.169.254/latest",
    "ftp://images.test/x",
    "gs://bucket/x",
    "gopher://images.test/x",
    "http://169.254.169.254/latest/meta-data",
    "http://2852039166/latest",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::1]:11000/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00::1]/",
    "http://[64:ff9b::a00:1]/",
    "http://127.0.0.1:11000/server_instances",
    "http://0/",
    "http://10.0.0.1/",
    "http://100.100.100.200/latest",
    "http://168.63.129.16/",
    "http://policy_model:8000/",
    "http://head/global_config_dict_yaml",
    "http://localhost./",
    "http://x.localhost/",
    "http://host.docker.internal:11000/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://printer.local/",
    "http://metadata.google.internal./",
    "http://\uff11\uff16\uff19.254.169.254/",
    "http://169\u3002254\u3002169\u3002254/",
    "http://%31%36%39.254.169.254/",
    "http://images.test@169.254.169.254/",
    "http://images.test:80@169.254.169.254/",
    "http://images.test\\@169.254.169.254/",
    "http://169.254.169.254\t/",
    " http://images.test/",
    "http://images.test/\u200b",
    "http://",
    "http:///x",
    "http://images.test:port/",
    "http://[::1/",
    "http://rebound.test/",
    "http://six.test/",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_paths_and_private_addresses_are_refused_with_their_place(url: str) -> None:
    with pytest.raises(RefusedError, match=r"^input\.0\.content\.0\.image_url: .*media_hosts"):
        check(responses(url))
    with pytest.raises(RefusedError, match=r"^messages\.0\.content\.0\.image_url: "):
        check(chat(url))


@pytest.mark.parametrize("name", ["image_url", "audio_url", "video_url", "file_url"])
@pytest.mark.parametrize("wrap", [lambda url: url, lambda url: {"url": url, "detail": "low"}])
def test_every_kind_of_part_is_looked_at_wherever_it_is(name: str, wrap: Any) -> None:
    part = {name: wrap("http://10.0.0.1/")}
    for content in ([part], part, [[part]]):
        with pytest.raises(RefusedError):
            check({"input": [{"type": "function_call_output", "call_id": "c", "output": content}]})
    with pytest.raises(RefusedError):
        asyncio.run(check_media(json.dumps({"messages": [part]}).replace("_url", "\\u005furl").encode()))


def test_hosts_of_the_settings_pass() -> None:
    for url in ("http://images.lan/x", "http://minio:9000/x", "http://10.0.0.1/x", "http://rebound.test/x"):
        check(responses(url), "images.lan", "minio", "10.0.0.1", "rebound.test")
        with pytest.raises(RefusedError):
            check(responses(url), "other.lan")
    with pytest.raises(RefusedError):
        check(responses("file://minio/x"), "minio")


@pytest.mark.parametrize(
    "request_",
    [
        {"input": "see image_url http://10.0.0.1/"},
        {"input": [], "tools": [{"name": "f", "parameters": {"properties": {"image_url": {"type": "string"}}}}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "image_url: file:///x"}]}]},
        {"input": [{"type": "function_call", "arguments": '{"image_url": "file:///x"}'}]},
        {"input": [{"image_url": None}, {"image_url": {"url": 3}}]},
        {"metadata": {"image_url": "file:///x"}, "input": []},
        ["image_url"],
    ],
)
def test_what_nobody_fetches_is_not_looked_at(request_: Any) -> None:
    check(request_)


def test_a_broken_character_does_not_keep_a_request_from_being_read() -> None:
    asyncio.run(check_media(b'{"input":[{"image_url":"data:x","text":"\\ud83d"}]}'))


PIECES = st.lists(
    st.sampled_from(['"image', "_url", "_u", 'rl":"/etc"', "\\u", "\\", "u005furl", "x" * 1500, "y" * 4000]), max_size=8
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), PIECES, st.sampled_from(["", "z", "_url"])), max_size=6))
def test_a_request_that_grows_is_judged_as_if_it_was_new(calls: list[tuple[str, list[str], str]]) -> None:
    """What earlier requests of the session had is not searched again, and what is new always is."""

    async def work() -> None:
        checks = MediaChecks((), kept_bytes=20_000)
        spoken: dict[str, str] = {"a": "", "b": ""}
        for session, pieces, end in calls:
            spoken[session] += "".join(pieces)
            body = f'{{"input":[{{"{spoken[session]}'.encode() + end.encode()
            assert await is_refused(checks.check((session, "responses"), body)) == await is_refused(
                check_media(body)
            ), body

    asyncio.run(work())


def test_of_a_grown_request_only_the_end_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    monkeypatch.setattr(media_addresses, "_may_name_a_field", lambda body, start=0: searched.append(len(body) - start))

    async def work() -> None:
        checks = MediaChecks(())
        body = b'{"input":["' + b"x" * 100_000
        for _ in range(3):
            await checks.check(("session", "responses"), body + b'"],"model":"m"}')
            body += b"y" * 10

    asyncio.run(work())
    assert searched[0] > 100_000
    assert max(searched[1:]) < 50
