"""Audio in a row's metadata becomes a part of the last user message."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from gymctl.server import RefusedError
from gymctl.server.chat import audio, audio_uris, has_audio, put_audio_in

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
    assert audio_uris({"audio_path": str(tmp_path / "a.wav")}, str(tmp_path)) == sent
    assert audio_uris({"audio_path": "a.wav"}, str(tmp_path)) == sent
    both = [*sent, f"data:audio/mpeg;base64,{base64.b64encode(b'b.MP3').decode()}"]
    assert audio_uris({"audio_paths": ["a.wav", "b.MP3"]}, str(tmp_path)) == both
    assert audio_uris({"audio_paths": '["a.wav", "b.MP3"]'}, str(tmp_path)) == both
    assert audio_uris({"audio_data": URI}, None) == [URI]


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"audio_path": "b.wav"}, "No such file"),
        ({"audio_path": "a.txt"}, "not a supported type"),
        ({"audio_path": "../private.wav"}, "not in the server's audio_root"),
        ({"audio_path": "sub/../../private.wav"}, "not in the server's audio_root"),
        ({"audio_path": "../audio-more/a.wav"}, "not in the server's audio_root"),
        ({"audio_path": "/etc/passwd"}, "not a supported type"),
        ({"audio_path": "/proc/self/a.wav"}, "not in the server's audio_root"),
        ({"audio_path": "link.wav"}, "not in the server's audio_root"),
        ({"audio_path": "folder/private.wav"}, "not in the server's audio_root"),
        ({"audio_path": "pipe.wav"}, "not a file"),
        ({"audio_path": "dir.wav"}, "Is a directory|not a file"),
        ({"audio_path": "a\x00.wav"}, "not a path|not in"),
        ({"audio_path": "x" * 5000 + ".wav"}, "name too long"),
        ({"audio_path": 3}, "not a supported type"),
        ({"audio_path": "http://169.254.169.254/a.wav"}, "No such file"),
        ({"audio_paths": ["a.wav", "../private.wav"]}, "not in the server's audio_root"),
        ({"audio_paths": "a.wav"}, "must be a list"),
        ({"audio_paths": {"a": 1}}, "must be a list"),
        ({"audio_data": URI, "audio_path": "/a.wav"}, "mutually exclusive"),
        ({"audio_data": "http://169.254.169.254/latest/meta-data/"}, "must be a data URI"),
        ({"audio_data": "file:///etc/passwd"}, "must be a data URI"),
        ({"audio_data": "data:text/html;base64,QUFB"}, "must be a data URI"),
        ({"audio_data": " http://x/ " + URI}, "must be a data URI"),
        ({"audio_data": URI + "\nhttp://x/"}, "must be a data URI"),
        ({"audio_data": "DATA:audio/wav,x"}, "must be a data URI"),
        ({"audio_data": ["http://x/"]}, "must be a data URI"),
        ({"audio_data": {"url": "http://x/"}}, "must be a data URI"),
    ],
)
def test_what_is_not_sent(metadata: dict[str, Any], text: str, tmp_path: Path) -> None:
    root = tmp_path / "audio"
    for folder in (root, root / "dir.wav", tmp_path / "audio-more"):
        folder.mkdir()
    for file in (root / "a.wav", tmp_path / "private.wav", tmp_path / "audio-more" / "a.wav"):
        file.write_bytes(b"PRIVATE")
    (root / "link.wav").symlink_to(tmp_path / "private.wav")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.wav")
    assert has_audio(metadata)
    with pytest.raises(RefusedError, match=text):
        audio_uris(metadata, str(root))


def test_without_a_folder_no_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for metadata in ({"audio_path": str(tmp_path / "a.wav")}, {"audio_path": "a.wav"}, {"audio_paths": ["a.wav"]}):
        with pytest.raises(RefusedError, match="audio files need audio_root"):
            audio_uris(metadata, None)


def test_files_have_a_size_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_MOST_BYTES", 5)
    (tmp_path / "a.wav").write_bytes(b"abc")
    assert len(audio_uris({"audio_path": "a.wav"}, str(tmp_path))) == 1
    with pytest.raises(RefusedError, match="of audio in one request"):
        audio_uris({"audio_paths": ["a.wav", "a.wav"]}, str(tmp_path))


def test_links_within_the_folder_and_a_folder_that_is_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").write_bytes(b"AAA")
    (tmp_path / "real" / "b.wav").symlink_to("a.wav")
    (tmp_path / "root").symlink_to("real")
    assert audio_uris({"audio_path": "b.wav"}, str(tmp_path / "root")) == [URI]


def test_without_audio() -> None:
    assert not has_audio({"audio_data": "", "other": "x"})
    assert audio_uris({"audio_data": ""}, None) == []
