"""Requests that grow: the parts are always those that a reading of the whole request gives."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gymctl.server.models import growing_requests
from gymctl.server.models.growing_requests import GrowingRequests

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


def test_a_short_request_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_requests, "_SHORT", 4096)
    requests = GrowingRequests()
    assert requests.read("session", b'{"input":[1],"a":1}') is None
    assert requests.read("session", b'{"input":["%b"],"a":1}' % (b"x" * 4096)) is not None
