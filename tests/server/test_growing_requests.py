"""Requests that grow: the parts are always those that a reading of the whole request gives."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import is_refused

from gymctl.server.models import growing_requests, media_addresses
from gymctl.server.models.growing_requests import GrowingRequests
from gymctl.server.models.media_addresses import MediaChecks, check_media

VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=4) | st.sampled_from(['],"input":[', "input", "}", "\\"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "input"]), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.dictionaries(st.sampled_from(["model", "tools", "temperature", 'a"b']), VALUES, max_size=3)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["one", "two"]),
        st.sampled_from(["grow", "cut", "change"]),
        st.lists(VALUES, max_size=3),
        FIELDS,
        st.sampled_from(["plain", "spaced", "input last"]),
    ),
    max_size=8,
)


@pytest.fixture(autouse=True, scope="module")
def _short_requests_too() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing_requests, "_SHORT", 0)
        yield


def encoded(items: list[Any], fields: dict[str, Any], layout: str) -> bytes:
    request = {"input": items, **fields}
    if layout == "spaced":
        return json.dumps(request, indent=1).replace('{\n "input": [', '{"input":[', 1).encode()
    if layout == "input last":
        request = {**fields, "input": items}
    return orjson.dumps(request)


@given(calls=CALLS, kept_bytes=st.sampled_from([0, 60, 1 << 20]))
def test_every_request_has_the_parts_of_all_of_it(calls: list[tuple[Any, ...]], kept_bytes: int) -> None:
    requests = GrowingRequests(kept_bytes)
    inputs: dict[str, list[Any]] = {"one": [], "two": []}
    for session, change, items, fields, layout in calls:
        earlier = inputs[session]
        if change == "cut":
            earlier = earlier[:-1]
        elif change == "change":
            earlier = ["another beginning", *earlier[1:]]
        inputs[session] = [*earlier, *items]
        body = encoded(inputs[session], fields, layout)
        request = requests.read(session, body)
        if layout != "input last" or not fields:
            assert request is not None
        if request is not None:
            assert {name: orjson.loads(bytes(value)) for name, value in request.fields.items()} == fields
            whole = request.with_fields({**request.fields, "more": msgspec.Raw(b"1")})
            assert orjson.loads(whole) == {"input": inputs[session], **fields, "more": 1}


TEXTS = st.text(st.sampled_from('[]{},:"01.e-a\\ \n'), max_size=12)


@given(first=TEXTS, second=TEXTS, rest=TEXTS)
@example(first="1", second=",2", rest='],"input":[0]}')
@example(first="1", second="", rest='],"input":[1]}')
@example(first="1", second="", rest='],"a":1,"input":"b"}')
@example(first='"a"', second="", rest="]}")
@example(first="1", second="2", rest="]}")
@example(first="1.5", second=".5", rest="]}")
@example(first="1", second="e5", rest="]}")
@example(first="1", second="", rest="]} ")
@example(first="1", second="", rest="]}}")
@example(first="1", second="", rest="],}")
def test_only_what_is_json_is_read_and_means_the_same(first: str, second: str, rest: str) -> None:
    requests = GrowingRequests()
    requests.read("session", b'{"input":[%b],"a":1}' % first.encode())
    body = b'{"input":[%b%b%b' % (first.encode(), second.encode(), rest.encode())
    request = requests.read("session", body)
    if request is not None:
        expected = msgspec.json.decode(body)  # raises where it is not JSON
        fields = {name: msgspec.json.decode(value) for name, value in request.fields.items()}
        assert {**fields, "input": msgspec.json.decode(request.input)} == expected
        assert msgspec.json.decode(request.with_fields({**request.fields, "z": msgspec.Raw(b"1")})) == expected | {
            "z": 1
        }


@given(items=st.lists(VALUES, min_size=1, max_size=3), more=VALUES, shared=st.integers(0, 40), is_same=st.booleans())
def test_a_body_that_was_put_together_has_the_same_parts(items: Any, more: Any, shared: int, is_same: bool) -> None:
    requests = GrowingRequests()
    first = encoded(items, {}, "plain")
    earlier = requests.read("session", first)
    assert earlier is not None
    assert earlier.known is None
    kept = memoryview(first if is_same else bytes(bytearray(first)))[: min(shared, earlier.input_end)]
    body = bytes(kept) + encoded([*items, more], {"a": 1}, "plain")[len(kept) :]
    request = requests.read("session", body, kept)
    assert request is not None
    assert orjson.loads(request.input) == [*items, more]
    assert request.known is None or request.known.obj is first


SPOKEN = st.lists(
    st.sampled_from(
        [
            {"role": "user", "content": "x" * 1500},
            {"role": "user", "content": [{"type": "input_image", "image_url": "/etc/passwd"}]},
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:,x"}]},
            {"role": "user", "content": "_url"},
        ]
    ),
    max_size=4,
)
MEDIA_CALLS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.booleans(),
        SPOKEN,
        st.sampled_from([{}, {"input_more": [{"image_url": "data:,x"}]}, {"temperature": 0.5}]),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(MEDIA_CALLS)
def test_addresses_in_a_growing_request_are_judged_as_if_it_was_new(calls: list[tuple[Any, ...]]) -> None:
    async def work() -> None:
        requests = GrowingRequests(20_000)
        checks = MediaChecks((), kept_bytes=20_000)
        spoken: dict[str, list[Any]] = {"a": [], "b": []}
        for session, is_new, items, fields, is_passed_on in calls:
            spoken[session] = [*([] if is_new else spoken[session]), *items]
            body = encoded(spoken[session], fields, "plain")
            growing = requests.read(session, body) if is_passed_on else None
            if growing is not None:
                body = growing.with_fields({**growing.fields, "model": msgspec.Raw(b'"m"')})
            expected = await is_refused(check_media(body))
            assert await is_refused(checks.check((session, "responses"), body, growing)) == expected

    asyncio.run(work())


def test_of_a_growing_request_only_the_end_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    monkeypatch.setattr(media_addresses, "_may_name_a_field", lambda body, start=0: searched.append(len(body) - start))

    async def work() -> None:
        requests = GrowingRequests()
        checks = MediaChecks(())
        items = ["x" * 100_000]
        for _ in range(3):
            growing = requests.read("session", encoded(items, {"model": "m"}, "plain"))
            assert growing is not None
            await checks.check(("session", "responses"), growing.with_fields(growing.fields), growing)
            items.append("y" * 10)

    asyncio.run(work())
    assert searched[0] > 100_000
    assert max(searched[1:]) < 100


def test_a_short_request_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_requests, "_SHORT", 4096)
    requests = GrowingRequests()
    assert requests.read("session", b'{"input":[1],"a":1}') is None
    assert requests.read("session", b'{"input":["%b"],"a":1}' % (b"x" * 4096)) is not None
