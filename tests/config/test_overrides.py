"""The override grammar against values that Hydra 1.3.2 itself parsed (and against its refusals, where ours differ)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config.sources.overrides import looks_like_override, override_document, parse_override
from gymctl.errors import InputError

HYDRA = [
    ("1", 1),
    ("-1", -1),
    ("+1", 1),
    ("007", "007"),
    ("1_000", 1000),
    ("1__0", "1__0"),
    ("0", 0),
    ("-0", 0),
    ("1.", 1.0),
    (".5", 0.5),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    ("1E-3", 0.001),
    ("-1.5e+3", -1500.0),
    ("1_0.5", 10.5),
    ("inf", math.inf),
    ("-inf", -math.inf),
    ("Inf", math.inf),
    ("null", None),
    ("NULL", None),
    ("Null", None),
    ("none", "none"),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("yes", "yes"),
    ("on", "on"),
    ("", ""),
    ("a b", "a b"),
    (" a", "a"),
    ("http://x:1/v1", "http://x:1/v1"),
    ("a:b", "a:b"),
    ("a/b.yaml", "a/b.yaml"),
    ("a@b", "a@b"),
    ("a-b", "a-b"),
    ("a+b", "a+b"),
    ("a%b", "a%b"),
    ("a*b", "a*b"),
    ("a?b", "a?b"),
    ("a|b", "a|b"),
    ("$x", "$x"),
    ("${a.b}", "${a.b}"),
    ("${oc.env:X}", "${oc.env:X}"),
    ("${oc.env:X,default}", "${oc.env:X,default}"),
    ("pre${a}post", "pre${a}post"),
    ("'a,b'", "a,b"),
    ('"a,b"', "a,b"),
    ("'it\\'s'", "it's"),
    ('"say \\"x\\""', 'say "x"'),
    ("'back\\\\slash'", "back\\\\slash"),
    ("'a\\nb'", "a\\nb"),
    ("'tail\\\\'", "tail\\"),
    ("''", ""),
    ('""', ""),
    ("a\\,b", "a,b"),
    ("a\\ b", "a b"),
    ("a\\:b", "a:b"),
    ("a\\=b", "a=b"),
    ("a\\\\b", "a\\b"),
    ("[]", []),
    ("[1,2]", [1, 2]),
    ("[a, b]", ["a", "b"]),
    ("[1,a,true,null,1.5]", [1, "a", True, None, 1.5]),
    ("[[1,2],[3]]", [[1, 2], [3]]),
    ("['a,b',\"c d\"]", ["a,b", "c d"]),
    ("[a b,c]", ["a b", "c"]),
    ("{}", {}),
    ("{a:1}", {"a": 1}),
    ("{a: 1, b: [x,y]}", {"a": 1, "b": ["x", "y"]}),
    ("{a: {b: c}}", {"a": {"b": "c"}}),
    ("{a b: 1}", {"a b": 1}),
    ("{1: a}", {1: "a"}),
    ("{true: a}", {True: "a"}),
    ("{a: http://x}", {"a": "http://x"}),
    ("{a: 'http://x:1'}", {"a": "http://x:1"}),
    ("[http://x:1/v1]", ["http://x:1/v1"]),
    ("[http://x:1/v1,http://y:2/v1]", ["http://x:1/v1", "http://y:2/v1"]),
    ("[${a.b}]", ["${a.b}"]),
    ("{k: ${a.b}}", {"k": "${a.b}"}),
    ("1 2", "1 2"),
    ("1a", "1a"),
    ("1.2.3", "1.2.3"),
    ("2024-01-01", "2024-01-01"),
    ("12:30", "12:30"),
    ("sk-abc_DEF-123", "sk-abc_DEF-123"),
    ("-", "-"),
    ("--x", "--x"),
    ("[a:b]", ["a:b"]),
    ("[1:2]", ["1:2"]),
    ("[{a:1},{b:2}]", [{"a": 1}, {"b": 2}]),
    ("'a\\\\'", "a\\"),
    ("'a\\\\\\'b'", "a\\'b"),
    ("'a\\\\\\\\'", "a\\\\"),
    ("'a\\\\b'", "a\\\\b"),
    ("'\\''", "'"),
    ("'a\\\"b'", 'a\\"b'),
    ("['a\\\\',b]", ["a\\", "b"]),
    ("a\\b", "a\\b"),
    ("\\[a", "[a"),
    ("a\\\\\\,b", "a\\,b"),
    ("[a\\,b,c]", ["a,b", "c"]),
    ("{a\\:b: c}", {"a:b": "c"}),
    ("a\\n", "a\\n"),
]


@pytest.mark.parametrize(("text", "value"), HYDRA)
def test_reads_a_value_as_hydra_does(text: str, value: object) -> None:
    parsed = parse_override(f"+k={text}").value
    assert repr(parsed) == repr(value)


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_every_sign_sets_the_same(sign: str) -> None:
    assert parse_override(f"{sign}a.b-c.d_1=2").path == ("a", "b-c", "d_1")


@pytest.mark.parametrize("text", ["http://x:1/v1?a=b&c=d", "~/x", "é", "a#b", "a;b", "x,y", "f(3)"])
def test_text_that_hydra_refuses_is_text(text: str) -> None:
    assert parse_override(f"+k={text}").value == text


def test_not_a_number() -> None:
    assert math.isnan(parse_override("+k=NaN").value)


@pytest.mark.parametrize("text", ["[1,2", "{a:1", "{a}", "[1,,2]", "'abc", '"a', "[1] x", "'a' b", "{a=b}", "['a' b]"])
def test_unbalanced_values_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^\+k"):
        parse_override(f"+k={text}")


@pytest.mark.parametrize("argument", ["~a.b", "+a", "+=3", "+1a=3", "+a..b=1"])
def test_what_is_no_override_is_refused(argument: str) -> None:
    assert argument.startswith(("+", "~"))
    with pytest.raises(InputError):
        parse_override(argument)


def test_a_value_is_never_shown_since_it_may_be_a_credential() -> None:
    override = parse_override("+policy_api_key=sk-secret")
    assert "sk-secret" not in str(override_document(override).marks)
    with pytest.raises(InputError) as caught:
        parse_override("+policy_api_key=['sk-secret")
    assert "sk-secret" not in str(caught.value)


def test_paths_are_told_from_overrides() -> None:
    assert [looks_like_override(text) for text in ("~/a.yaml", "a/b=c/d.yaml", "a=1", "+a=1", "~a", "dir")] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


@given(st.text(alphabet=st.characters(blacklist_characters="\\", blacklist_categories=["Cs"]), max_size=30))
def test_any_text_survives_in_quotes(text: str) -> None:
    quoted = text.replace("'", "\\'")
    assert parse_override(f"+k='{quoted}'").value == text
    assert parse_override(f"+k=['{quoted}', '{quoted}']").value == [text, text]
