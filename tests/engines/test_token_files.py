"""Tokens in ``.gymctl``: written for this user only, and what cannot be read is a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymctl.engines.token_files import store_text, stored_text
from gymctl.errors import InputError


def test_a_text_comes_back_and_is_for_its_owner_only(tmp_path: Path) -> None:
    assert stored_text(tmp_path, "some-token") == ""
    store_text(tmp_path, "some-token", "abc")
    path = tmp_path / ".gymctl" / "some-token"
    assert path.read_bytes() == b"abc\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert stored_text(tmp_path, "some-token") == "abc"


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["bytes", "folder"])
def test_what_cannot_be_read_names_the_file_and_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / ".gymctl" / "some-token"
    if content is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(InputError, match="some-token cannot be read") as caught:
        stored_text(tmp_path, "some-token")
    assert caught.value.hint == "remove it, and run `gymctl up` again"
