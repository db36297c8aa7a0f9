"""Texts that have broken a YAML reader, Compose's interpolation or OmegaConf's, and strategies that make more."""

from __future__ import annotations

import re

from hypothesis import strategies as st

NASTY = [
    "",
    " ",
    "$",
    "$$",
    "${x}",
    "$${x}",
    "\\${x}",
    "\\\\${x}\\",
    "${oc.env:HOME}",
    "a$b ${c:-d} ${e:?f} $(g) `h`",
    "${",
    "}",
    "{{ question }} {{{a}}} {{{{ {{- b -}} {% if c %}",
    "ends in a backslash\\",
    "ends in a dollar $",
    'it\'s "quoted" # no comment',
    "two\nlines",
    "\nleading newline",
    "  leading blanks\nsecond",
    "trailing blanks  \nsecond \n\n",
    "tab\there\n\tand there",
    "carriage\rreturn\r\nand both",
    "next line \x85, separators \u2028 \u2029, no-break \xa0, byte order \ufeff",
    "emoji \U0001f600 and text\nin lines \U0001f916\n",
    "control \x01\x07\x1b[31m\x7f",
    "- list\n- like\n",
    "key: value\nother: {a: [1, 2]}\n",
    "%YAML 1.1\n---\ntext\n...\n",
    "| block\n> folded",
    "&anchor *alias !tag @at `tick` ?q",
    *"on off yes no y n Y N true True null Null ~ ??? << = .inf -.inf .nan .NaN".split(),
    *"1e3 1E3 1.5e3 1_000 0x1f 0o17 017 0b11 1:30 12:30:45 190:20:30.15 .5 5. +1 -1 1. 1.0 ._1 +.5e1 1_0.5e-3".split(),
    *"2001-01-01 2001-12-14t21:59:43.10-05:00".split(),
    "2001-12-14 21:59:43",
]

# The characters that mean something to one of the readers, and a few that only have to survive.
_PIECES = st.sampled_from(
    ["$", "{", "}", "${", "\\", "'", '"', "\n", " ", "#", ":", "- ", "a", "é", "\U0001f600", "\t"]
)
tricky = st.lists(_PIECES, max_size=12).map("".join)
any_text = st.one_of(tricky, st.sampled_from(NASTY), st.text(max_size=30))
scalars = st.one_of(
    any_text,
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    st.sampled_from(NASTY),
)
keys = any_text.filter(lambda key: key != "")
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
mappings = st.dictionaries(keys, nested, max_size=5)


def as_compose_reads(text: str) -> str:
    """A value after Compose's interpolation, which refuses every ``$`` that is not doubled."""
    if re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", text):
        raise ValueError(f"invalid interpolation format: {text!r}")
    return text.replace("$$", "$")
