"""Credentials that an endpoint repeats are hidden; a model's text stays what it is."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import pytest

from gymctl.config.secrets import Masks
from gymctl.server import Call, Client, LocalTransport, Reply, Server, Session, endpoint
from gymctl.server.run.log_lines import LineFormatter
from gymctl.server.settings import settings_from_mapping

KEY = "sk-planted-0123456789"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"api_key": KEY}, f"Incorrect API key provided: {KEY}"),
        ({"api_key": KEY}, f"Bearer {KEY}."),
        ({"default_headers": {"Authorization": f"Bearer {KEY}"}}, f"the token {KEY} is wrong"),
        ({"default_headers": {"X-Api-Key": KEY}}, f'{{"x-api-key": "{KEY}"}}'),
        ({"keys": [{"token": KEY}]}, KEY),
        ({"base_url": f"http://user:{KEY}@host/v1"}, f"http://user:{KEY}@host/v1 does not answer"),
        ({"base_url": f"http://user:{KEY}@host/v1"}, "Basic " + base64.b64encode(f"user:{KEY}".encode()).decode()),
        ({"api_key": 'a"b\\c/d 0123456789'}, json.dumps('a"b\\c/d 0123456789')),
        ({"api_key": "a+b/c=d&0123456789"}, "https://x/?key=a%2Bb%2Fc%3Dd%260123456789"),
        ({"api_key": "short-10"}, "the key short-10"),
    ],
)
def test_what_is_hidden_in_an_error(value: dict[str, Any], text: str) -> None:
    hidden = Masks(value).text(text)
    assert "****" in hidden
    for secret in (KEY, base64.b64encode(f"user:{KEY}".encode()).decode(), "a%2Bb", 'a\\"b', "short-10"):
        assert secret not in hidden


@pytest.mark.parametrize(
    ("value", "text"),
    [({"api_key": "EMPTY"}, "EMPTY"), ({"model": KEY}, KEY), ({"max_output_tokens": 12345678}, "12345678"), ({}, "x")],
)  # fmt: skip
def test_what_is_not_hidden(value: dict[str, Any], text: str) -> None:
    assert Masks(value).text(text) == text


@pytest.mark.parametrize("word", ["placeholder", "dummy-key", "not-needed", "password-of-mine"])
def test_words_stay_in_a_models_text(word: str) -> None:
    masks = Masks({"api_key": word})
    assert masks.body(word.encode(), is_error=False) == word.encode()
    assert masks.body(word.encode(), is_error=True) == b"****"
    assert Masks({"api_key": KEY}).body(KEY.encode(), is_error=False) == b"****"


class Repeating(Server):
    """Says what it is configured with."""

    kind = "responses_api_models"

    @endpoint("/say")
    async def say(self, call: Call, session: Session) -> Reply:
        if call.body == b"raise":
            raise ValueError(f"wrong key {KEY}")
        return Reply(int(call.body), json.dumps({"text": f"key {KEY}, global {KEY[::-1]}"}).encode())


@pytest.mark.parametrize("body", [b"200", b"401", b"502", b"raise"])
def test_no_reply_and_no_record_of_a_server_holds_its_keys(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    fields = {"entrypoint": "app.py", "host": "127.0.0.1", "port": 8000, "api_key": KEY}
    whole = {"policy_model": {"responses_api_models": {"m": fields}}, "policy_api_key": KEY[::-1]}
    server = Repeating(settings_from_mapping(whole, "policy_model"), Client(LocalTransport({})))
    reply = asyncio.run(server.handle(Call("/say", body)))
    assert b"****" in reply.body
    assert KEY.encode() not in reply.body
    assert KEY[::-1].encode() not in reply.body
    logging.getLogger("gymctl.server").error("the endpoint says %s", KEY)
    for record in caplog.records:
        assert KEY not in LineFormatter().format(record)
