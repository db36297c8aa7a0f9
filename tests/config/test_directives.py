"""Directives, against what NeMo Gym 0.4.0's own parser made of the same text, and where ours goes on."""

from __future__ import annotations

from typing import Any

import pytest
from config_files import Folder

from gymctl.config.diagnostics import Findings
from gymctl.config.sources.directives import apply_directives
from gymctl.config.sources.yaml_documents import parse_document

UPSTREAM = [
    ("{a: {x: 1, y: 2}, b: '${inherit_from:a}'}", {"b": {"x": 1, "y": 2}}),
    (
        "{a: {x: 1, y: {p: 1, q: 2}}, b: {_inherit_from: a, y: {q: 3}, z: 4}}",
        {"b": {"x": 1, "y": {"p": 1, "q": 3}, "z": 4}},
    ),
    ("{a: {x: 1}, b: '${copy:a}'}", {"a": {"x": 1}, "b": {"x": 1}}),
    ("{a: {x: 1}, b: {_copy: a, x: 2}}", {"a": {"x": 1}, "b": {"x": 2}}),
    ("{a: {x: 1}, b: {c: '${copy:a.x}'}}", {"a": {"x": 1}, "b": {"c": 1}}),
    ("{a: {x: 1, y: 2}, b: {c: '${inherit_from:a.x}'}}", {"a": {"y": 2}, "b": {"c": 1}}),
    ("{a: {x: 1, y: 2, z: 3}, b: {_copy: a, _delete_key: 'x, y'}}", {"a": {"x": 1, "y": 2, "z": 3}, "b": {"z": 3}}),
    ("{b: {_delete_key: x, x: 1, y: 2}}", {"b": {"y": 2}}),
    ("{b: {_delete_key: q, y: 2}}", {"b": {"y": 2}}),
    ("{a: {x: 1, y: 2}, b: {_copy: a, x: 5, _delete_key: x}}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}}),
    (
        "{a: {x: 1}, b: {_inherit_from: a, y: 2}, c: {_inherit_from: a, z: 3}}",
        {"b": {"x": 1, "y": 2}, "c": {"x": 1, "z": 3}},
    ),
    ("{a: '???', b: {_inherit_from: a, x: 1}}", {"b": "???"}),
    ("{a: {x: '???'}, b: {c: '${copy:a.x}'}}", {"a": {"x": "???"}, "b": {"c": "???"}}),
    ("{a: {x: '???'}, b: {_inherit_from: a, x: 1}}", {"b": {"x": 1}}),
    ("{a: {x: {y: 1}}, b: {c: {_copy: a.x, z: 2}}}", {"a": {"x": {"y": 1}}, "b": {"c": {"y": 1, "z": 2}}}),
    ("{a: {x: {y: 1}}, r: '${a}', b: {_copy: r.x}}", {"a": {"x": {"y": 1}}, "r": "${a}", "b": {"y": 1}}),
    ("{n: 5, a: {x: '${n}'}, b: '${copy:a}'}", {"n": 5, "a": {"x": "${n}"}, "b": {"x": "${n}"}}),
    ("{n: a, a: {x: 1}, b: {_copy: '${n}'}}", {"n": "a", "a": {"x": 1}, "b": {"x": 1}}),
    ("{a: [1, 2], b: '${copy:a}'}", {"a": [1, 2], "b": [1, 2]}),
    ("{a: {x: 1}, l: [{m: '${copy:a}'}]}", {"a": {"x": 1}, "l": [{"m": {"x": 1}}]}),
]

OURS = [
    ("{a: {x: 1}, b: '${swap_key:a}'}", {"b": {"x": 1}}),  # 0.2's spelling
    ("{a: {x: 1}, l: ['${copy:a}', {_copy: a}]}", {"a": {"x": 1}, "l": [{"x": 1}, {"x": 1}]}),
    ("{a: {x: 1}, b: {_inherit_from: a, y: 2}, c: {_inherit_from: b, z: 3}}", {"c": {"x": 1, "y": 2, "z": 3}}),
    ("{c: {_inherit_from: b, z: 3}, b: {_inherit_from: a, y: 2}, a: {x: 1}}", {"c": {"x": 1, "y": 2, "z": 3}}),
    (
        "{z: {k: 9}, a: {x: {_copy: z}}, b: {_copy: a, y: 1}}",
        {"z": {"k": 9}, "a": {"x": {"k": 9}}, "b": {"x": {"k": 9}, "y": 1}},
    ),
    ("{a: {x: 1, b: {_copy: a.x}}}", None),
]


def applied(text: str) -> tuple[dict[str, Any], list[str]]:
    findings = Findings()
    data = apply_directives(parse_document(text, "f").data, findings)
    return data, [str(problem) for problem in findings.problems]


@pytest.mark.parametrize(("text", "result"), UPSTREAM + OURS)
def test_a_directive(text: str, result: dict[str, Any] | None) -> None:
    data, problems = applied(text)
    assert (data, problems) == (result, []) if result is not None else problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{alpha: {x: 1}, b: {_inherit_from: alpah}}",
            "b takes from alpah, which does not exist; did you mean 'alpha'?",
        ),
        ("{a: {x: 1}, b: {_copy: a, _delete_key: q}}", "b: no key 'q' to delete; its keys: x"),
        ("{a: {x: 1}, b: {_copy: a.x, y: 2}}", "b takes its keys from a.x, which is not a mapping"),
        ("{a: {_copy: b}, b: {_copy: a}}", "b: a takes its keys from itself"),
        (
            "{a: {x: 1}, d: {y: 1}, b: {_copy: a, _inherit_from: d}}",
            "b has both _inherit_from and _copy; keep one of them",
        ),
    ],
)
def test_a_directive_that_cannot_be_done(text: str, message: str) -> None:
    assert message in " ".join(applied(text)[1])


def test_an_inherited_server_knows_where_its_values_came_from(folder: Folder) -> None:
    config = folder.loaded(
        """
        base:
          resources_servers:
            example_multi_step:
              entrypoint: app.py
              domain: agent
        mine:
          _inherit_from: base
          resources_servers:
            example_multi_step:
              domain: math
        """
    )
    assert list(config.servers) == ["policy_model", "mine"]
    server = config.servers["mine"]
    assert server.fields == {"entrypoint": "app.py", "domain": "math"}
    assert str(config.origins.of((*server.path, "entrypoint"))) == "a.yaml:5"
    assert [str(place) for place in config.origins.history((*server.path, "domain"))] == ["a.yaml:6", "a.yaml:11"]
