"""Configurations whose interpolations or directives multiply are refused, and large ones that do not are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gymctl.config import load_config
from gymctl.config.sources.interpolation_size import ValueSizes
from gymctl.errors import ConfigError

LEVELS = range(1, 9)


def lines(first: str, line: Callable[[int], str]) -> str:
    return "\n".join([first, *(f"i{level}: {line(level)}" for level in LEVELS)]) + "\n"


def tenfold(text: str) -> str:
    return f"'{text * 10}'"


def mapping(value: str) -> str:
    return "{" + ", ".join(f"k{key}: {value}" for key in range(10)) + "}"


BOMBS = {
    "text": lines("i0: x", lambda n: tenfold(f"${{i{n - 1}}}")),
    "mappings": lines("i0: {x: 1}", lambda n: mapping(f"'${{i{n - 1}}}'")),
    "lists": lines("i0: [1]", lambda n: "[" + ", ".join([f"'${{i{n - 1}}}'"] * 10) + "]"),
    "relative names": "m:\n  i0: x\n" + "".join(f"  i{n}: {tenfold(f'${{.i{n - 1}}}')}\n" for n in LEVELS),
    "names with brackets": lines("m: {i0: x}", lambda n: tenfold(f"${{i{n - 1}}}" if n > 1 else "${m[i0]}")),
    "computed names": "".join(f"n{n}: {n}\n" for n in range(9))
    + lines("i0: x", lambda n: tenfold(f"${{i${{n{n - 1}}}}}")),
    "defaults": lines("i0: x", lambda n: tenfold(f"${{oc.env:NOPE,${{i{n - 1}}}}}")),
    "selections": lines("i0: x", lambda n: tenfold(f"${{oc.select:i{n - 1}}}")),
    "selections in quotes": lines("i0: x", lambda n: '"' + f"${{oc.select:'i{n - 1}'}}" * 10 + '"'),
    "values of mappings": lines("i0: {x: 1}", lambda n: mapping(f"'${{oc.dict.values:i{n - 1}}}'")),
    "copies": lines("i0: {x: 1}", lambda n: mapping(f"'${{copy:i{n - 1}}}'")),
    "copies by a key": lines("i0: {x: 1}", lambda n: mapping(f"{{_copy: i{n - 1}}}")),
    "one long text": f"i0: {'x' * 200_000}\ni1: '{'${i0}' * 60}'\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_multiplies_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMBS[name])
    with pytest.raises(ConfigError, match=r"bomb\.yaml:\d+: .*(?:expand|add up) to more than") as caught:
        load_config(["bomb.yaml"], cwd=tmp_path, environ={})
    assert len(str(caught.value)) < 5000


def test_a_variable_that_is_long(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text("i: '" + "${oc.env:LONG}" * 200 + "'\n")
    with pytest.raises(ConfigError, match=r"(?:expand|add up) to more than"):
        load_config(["bomb.yaml"], cwd=tmp_path, environ={"LONG": "x" * 100_000})


@pytest.mark.parametrize(
    ("whole", "key", "characters", "references"),
    [
        ({"a": "xyz", "b": "${a}${a}"}, "b", 8 + 6, 2),
        ({"a": {"b": "xyz", "c": "${.b}"}}, "a", 1 + 3 + 5 + 3, 1),
        ({"a": {"b": {"c": "${..d}"}, "d": "xyz"}}, "a", 1 + 1 + 6 + 3 + 3, 1),
        ({"a": ["xyz"], "b": "${a[0]}${a.0}"}, "b", 13 + 6, 2),
        ({"n": "a", "a": "xyz", "b": "${${n}}"}, "b", 7 + 4 + 1 + 3, 2),
        ({"m": "${n}", "n": {"a": "xyz"}, "b": "${m.a}"}, "b", 6 + 3, 1),
        ({"a": "${b}", "b": "${a}"}, "a", 8, 2),
        ({"a": "${a}", "b": "${a.x}"}, "b", 6 + 1, 1),
        ({"a": "${b.x}", "b": "${a.x}", "c": "${a.x.x}"}, "c", 8 + 1, 1),
        ({"a": "${", "b": "${a"}, "b", 3 + 2, 2),
        ({"a": "}{${}"}, "a", 5, 1),
        ({"b": "${nowhere.at.all}"}, "b", 18, 1),
    ],
)  # fmt: skip
def test_sizes(whole: dict[str, object], key: str, characters: int, references: int) -> None:
    assert ValueSizes(whole, {}).at((key,)) == (characters, references)


def test_large_configurations_are_taken(tmp_path: Path) -> None:
    servers = "".join(
        f"s{n}:\n  resources_servers:\n    weather:\n      entrypoint: app.py\n      domain: other\n"
        f"      a: ${{text}}\n      b: ${{block}}\n      c: ${{s0.resources_servers.weather.a}}-${{n{n % 10}}}\n"
        for n in range(300)
    )
    text = "text: " + "x" * 10_000 + "\nblock: {a: 1, b: [1, 2, 3]}\n" + "".join(f"n{n}: {n}\n" for n in range(10))
    (tmp_path / "large.yaml").write_text(text + servers)
    config = load_config(["large.yaml"], cwd=tmp_path, environ={})
    assert config.servers["s299"].fields["c"] == "x" * 10_000 + "-9"


def test_the_name_of_an_include_that_multiplies(tmp_path: Path) -> None:
    names = lines("i0: x", lambda n: tenfold(f"${{i{n - 1}}}"))
    (tmp_path / "bomb.yaml").write_text(f"config_paths: ['${{i8}}.yaml']\n{names}")
    with pytest.raises(ConfigError, match=r"(?:expand|add up) to more than"):
        load_config(["bomb.yaml"], cwd=tmp_path, environ={})
