"""Audio in a row's metadata becomes a part of the last user message."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from gymctl.server import RefusedError
from gymctl.server.chat import audio_uris, has_audio, put_audio_in

URI = "data:audio/wav;base64,QUFB"
PART = {"type": "audio_url", "audio_url": {"url": URI}}
TEXT = {"type": "text", "text": "u"}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], [{"role": "user", "content": [PART]}]),
        ([{"role": "user", "content": "u"}], [{"role": "user", "content": [PART, TEXT]}]),
        ([{"role": "user", "content": [TEXT]}], [{"role": "user", "content": [PART, TEXT]}]),
        ([{"role": "user", "content": None}], [{"role": "user", "content": [PART]}]),
        (
            [{"role": "user", "content": "v"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}],
            [
                {"role": "user", "content": "v"},
                {"role": "user", "content": [PART, TEXT]},
                {"role": "assistant", "content": "a"},
            ],
        ),
    ],
)
def test_the_last_user_message_gets_it(messages: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    put_audio_in(messages, [URI])
    assert messages == expected


def test_files_are_sent_as_data(tmp_path: Path) -> None:
    for name in ("a.wav", "b.MP3"):
        (tmp_path / name).write_bytes(name.encode())
    sent = [f"data:audio/wav;base64,{base64.b64encode(b'a.wav').decode()}"]
    assert audio_uris({"audio_path": str(tmp_path / "a.wav")}, None) == sent
    assert audio_uris({"audio_path": "a.wav"}, str(tmp_path)) == sent
    both = [*sent, f"data:audio/mpeg;base64,{base64.b64encode(b'b.MP3').decode()}"]
    assert audio_uris({"audio_paths": ["a.wav", "b.MP3"]}, str(tmp_path)) == both
    assert audio_uris({"audio_paths": '["a.wav", "b.MP3"]'}, str(tmp_path)) == both
    assert audio_uris({"audio_data": URI}, None) == [URI]


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"audio_path": "a.wav"}, "no audio_root"),
        ({"audio_path": "/nowhere/a.wav"}, "No such file"),
        ({"audio_path": "/etc/passwd"}, "of no known kind"),
        ({"audio_paths": "a.wav"}, "must be a list"),
        ({"audio_paths": {"a": 1}}, "must be a list"),
        ({"audio_data": URI, "audio_path": "/a.wav"}, "mutually exclusive"),
    ],
)
def test_what_cannot_be_sent(metadata: dict[str, Any], text: str) -> None:
    assert has_audio(metadata)
    with pytest.raises(RefusedError, match=text):
        audio_uris(metadata, None)


def test_without_audio() -> None:
    assert not has_audio({"audio_data": "", "other": "x"})
    assert audio_uris({"audio_data": ""}, None) == []
