"""Interpolations resolve as OmegaConf resolves them, though most are filled in without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from config_files import MODEL, Folder
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gymctl.config.diagnostics import Findings
from gymctl.config.sources.resolve import resolve

_LEAVES = st.sampled_from(
    [
        1,
        None,
        True,
        "x",
        "",
        "${a}",
        "${b}",
        "${a.c}",
        "${b.d}",
        "${.c}",
        "${..a}",
        "x${a}y",
        "${c}-${d}",
        r"\${a}",
        "${b[0]}",
    ]
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.dictionaries(st.sampled_from("cd"), inner, min_size=1, max_size=2) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), _VALUES, min_size=1, max_size=4))
def test_resolving_equals_omegaconf(data: dict[str, Any]) -> None:
    findings = Findings()
    ours = resolve(data, {}, findings)
    try:
        theirs = OmegaConf.to_container(OmegaConf.create(data), resolve=True)
    except (OmegaConfBaseException, RecursionError):
        assert findings.problems
    else:
        # OmegaConf shows a mapping or list in the middle of text as Python would, its inside resolved or not
        assume(not any(mark in text for text in _texts(theirs) for mark in ("{'", "['", "[1", "[N", "[T")))
        assert findings.problems == []
        assert ours == theirs


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def test_plain_references_need_no_omegaconf(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(OmegaConf, "create", refuse)
    folder.write("a.yaml", MODEL + "u: ${v.w}\nv: {w: '${x}'}\nx: 3\n")
    assert folder.load("a.yaml").values["u"] == 3
