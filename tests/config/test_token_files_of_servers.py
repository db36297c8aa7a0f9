"""The key ``tokens``, and the files with the tokens of servers."""

from __future__ import annotations

import pytest
from config_files import SHORT_MODEL, Folder
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config.blocks.hop_tokens import HopTokens
from gymctl.errors import ConfigError

TOKENS = st.lists(st.from_regex(r"[A-Za-z0-9_-]{32}", fullmatch=True), min_size=1, max_size=3, unique=True).map(tuple)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TOKENS, st.dictionaries(NAMES, TOKENS, max_size=4))
def test_a_file_comes_back_whatever_servers_are_called(
    accepts: tuple[str, ...], calls: dict[str, tuple[str, ...]]
) -> None:
    tokens = HopTokens(accepts, calls)
    assert HopTokens.parse(tokens.text) == tokens
    assert not any(token in repr(tokens) for token in accepts)


def test_a_file_that_is_only_partly_written_is_refused() -> None:
    old = HopTokens(("a" * 32,), {"model": ("b" * 32,)}).text
    new = HopTokens(("c" * 32,), {"model": ("d" * 32,)}).text
    assert len(old) == len(new)
    for length in range(1, len(new)):
        if new[:length] + old[length:] not in (old, new):
            with pytest.raises(ValueError, match="digest"):
                HopTokens.parse(new[:length] + old[length:])


@pytest.mark.parametrize(("text", "expected"), [("", False), ("tokens: true\n", True), ("tokens: false\n", False)])
def test_the_key(folder: Folder, text: str, expected: bool) -> None:
    folder.write("stack.yaml", text + SHORT_MODEL)
    assert folder.load("stack.yaml").tokens is expected


def test_a_wrong_value_is_a_problem_with_its_place(folder: Folder) -> None:
    folder.write("stack.yaml", "tokens: 'yes'\n" + SHORT_MODEL)
    with pytest.raises(ConfigError, match=r"stack.yaml:1.*tokens is 'yes'"):
        folder.load("stack.yaml")


def test_a_server_may_have_that_name(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL.replace("policy_model", "tokens"))
    config = folder.load("stack.yaml")
    assert "tokens" in config.servers
    assert config.tokens is False
