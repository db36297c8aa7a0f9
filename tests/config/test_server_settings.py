"""Settings of servers, read from their source: what a server would refuse at its start is refused before."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any

import pytest
from config_files import Folder

from gymctl.assets import package
from gymctl.config.explain import explain
from gymctl.config.load import read_config
from gymctl.config.settings.server_code import implementation_of, outline

STACK = """\
policy:
  responses_api_models:
    openai_model:
      entrypoint: app.py
      openai_base_url: http://127.0.0.1:9/v1
      openai_api_key: sk-test
      openai_model: m
tools:
  resources_servers:
    weather: {entrypoint: app.py, domain: agent}
asker:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: tools}
      model_server: {type: responses_api_models, name: policy}
"""
KEY = "      openai_model: m\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "max_concurrent_requests: many",
            "policy: max_concurrent_requests is 'many'; it must be a number of at least 1",
        ),
        ("max_in_flight: 0", "policy: max_in_flight is 0; it must be a number of at least 1"),
        ("max_in_flight: null", "policy: max_in_flight is None; it must be a number of at least 1"),
        ("timeout_seconds: [1]", "policy: timeout_seconds is [1]; it must be a number above 0"),
        ("extra_body: text", "policy: extra_body is 'text'; it must be a mapping"),
        (
            "drop_input_reasoning_items: maybe",
            "policy: drop_input_reasoning_items is 'maybe'; it must be true or false",
        ),
        (r'openai_default_headers: {a: "b\n"}', "policy: openai_default_headers holds a line break"),
    ],
)
def test_a_wrong_setting_of_a_model_server(folder: Folder, line: str, problem: str) -> None:
    (refusal,) = folder.problems(STACK.replace(KEY, f"{KEY}      {line}\n"))
    assert refusal.startswith(f"a.yaml:8: {problem}")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8000/v1", "did you mean 'http://localhost:8000/v1'?"),
        ("ftp://host/v1", "does not start with http:// or https://"),
        ("http://", "is not a URL"),
        ("http://host:99999/v1", "is not a URL"),
        ("http://host/v 1", "is not a URL"),
        ("http://host:9/v1\u200b", "is not a URL"),
        ("http://http://host/v1", "is not a URL"),
        ("http://$HOST/v1", "is not a URL"),
        ("http://host/v1?api-version=1", "use http://host/v1; parameters of calls belong in default_query"),
        ("http://host/v1#top", "use http://host/v1;"),
        ("http://host:9/v1/models", "use http://host:9/v1; the server appends /models"),
        ("http://host:9/v1/chat/completions", "use http://host:9/v1; the server appends /chat/completions"),
        ("http://host:9/v1/responses/", "use http://host:9/v1; the server appends /responses"),
    ],
)
def test_a_wrong_url(folder: Folder, url: str, problem: str) -> None:
    (refusal,) = folder.problems(STACK.replace("http://127.0.0.1:9/v1", f"'{url}'"))
    assert refusal.startswith(f"a.yaml:5: policy: openai_base_url is {url!r}")
    assert problem in refusal


@pytest.mark.parametrize(
    ("urls", "is_right"), [("[]", False), ("[localhost:1]", False), ("[http://a/v1, http://b/v1]", True)]
)
def test_several_urls(folder: Folder, urls: str, is_right: bool) -> None:
    text = (
        f"m: {{responses_api_models: {{vllm_model: {{entrypoint: app.py, base_url: {urls}, api_key: k, model: m}}}}}}\n"
    )
    if is_right:
        assert "m" in folder.loaded(text).servers
    else:
        (problem,) = folder.problems(text)
        assert problem.startswith("a.yaml:1: m: base_url is ")


def test_a_key_is_never_repeated(folder: Folder) -> None:
    (problem,) = folder.problems(STACK.replace("sk-test", r'"sk-secret\n"'))
    assert problem.startswith("a.yaml:6: policy: openai_api_key holds a line break")
    assert "sk-secret" not in problem
    (problem,) = folder.problems(STACK.replace("sk-test", "[sk-secret]"))
    assert problem == "a.yaml:6: policy: openai_api_key is not valid; it must be text without spaces"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("' sk-secret'", "begins or ends with a space"),
        ("'sk-secret '", "begins or ends with a space"),
        ("'sk-secret\u00a0'", "begins or ends with a space"),
        ("'sk-sec ret'", "contains a space, which keys never do"),
        ("'sk-sec\u2009ret'", "contains a space, which keys never do"),
        (r'"sk-sec\tret"', "holds a line break or another control character"),
        (r'"sk-secret\r"', "holds a line break or another control character"),
        ("|\n        sk-secret", "holds a line break or another control character"),
        ("Bearer sk-secret", "begins with 'Bearer', which the server adds itself; write only the key"),
        ("bearer  sk-secret", "begins with 'bearer', which the server adds itself; write only the key"),
        (r'"sk-secret\u200b"', "contains a non-ASCII character"),
        ("sk\u2011secret", "contains a non-ASCII character"),
        ("\"'sk-secret'\"", "is in quotation marks twice"),
    ],
)
def test_a_key_that_no_endpoint_accepts(folder: Folder, key: str, problem: str) -> None:
    (refusal,) = folder.problems(STACK.replace("sk-test", key))
    assert f"policy: openai_api_key {problem}" in refusal
    assert "secret" not in refusal.removeprefix("a.yaml")


@pytest.mark.parametrize("key", ["''", "EMPTY", "a+b/c==", "sk-proj-A_b.c~1", "'\"'", "x'y'"])
def test_a_key_is_not_judged_by_its_looks(folder: Folder, key: str) -> None:
    assert "policy" in folder.loaded(STACK.replace("sk-test", key)).servers


def test_settings_of_an_agent_and_its_references(folder: Folder) -> None:
    (problem,) = folder.problems(STACK + "      max_steps: -3\n")
    assert problem == "a.yaml:17: asker: max_steps is -3; it must be a number of at least 1"
    (problem,) = folder.problems(STACK.replace("responses_api_models, name", "response_api_models, name"))
    assert problem == (
        "a.yaml:16: asker: model_server.type is 'response_api_models'; did you mean 'responses_api_models'?"
    )


def test_what_the_server_accepts_is_accepted(folder: Folder) -> None:
    more = "      max_retries: '3'\n      timeout_seconds: 5\n      max_concurrent_requests: null\n      x-mine: 1\n"
    assert len(folder.loaded(STACK.replace(KEY, KEY + more)).servers) == 4


OWN = """
from enum import StrEnum
from typing import Annotated, Literal, Optional
from pydantic import BaseModel, Field
from gymctl.server import ResourcesServer, ServerConfig
from elsewhere import Unknown

Seconds = Annotated[float, Field(gt=0)]

class Mode(StrEnum):
    FAST = "fast"
    EXACT = "exact"

class Inner(BaseModel):
    a: int

class OwnConfig(ServerConfig):
    wait: Seconds = 3.0
    \"\"\"How long it waits.\"\"\"
    mode: Mode = Mode.FAST
    level: Literal[1, 2, 3] = 1
    names: list[str] = []
    shares: dict[str, float] = {}
    limit: Optional[int] = Field(None, le=9, description="A limit.")
    other: Unknown = None
    inner: Inner | None = None
    copy: bool = False

raise SystemExit("user code must not run")

class OwnServer(ResourcesServer):
    config: OwnConfig
"""


@pytest.fixture
def own(folder: Folder) -> Folder:
    place = folder.path / "resources_servers" / "own"
    place.mkdir(parents=True)
    (place / "app.py").write_text(textwrap.dedent(OWN), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("wait: 0", "own: wait is 0; it must be a number above 0"),
        ("mode: slow", "own: mode is 'slow'; it must be fast or exact"),
        ("level: 4", "own: level is 4; it must be one of 1, 2, 3"),
        ("names: a", "own: names is 'a'; it must be a list"),
        ("shares: {a: b}", "own: shares is {'a': 'b'}; it must be a mapping"),
        ("limit: 10", "own: limit is 10; it must be a whole number of at most 9"),
        ("inner: 3", "own: inner is 3; it must be a mapping"),
        ("copy: 7", "own: copy is 7; it must be true or false"),
        ("other: {any: [thing]}", None),
        ("wait: 1", None),
        ("mode: exact", None),
        ("limit: null", None),
    ],
)
def test_settings_of_a_server_of_ones_own(own: Folder, setting: str, problem: str | None) -> None:
    text = f"own:\n  resources_servers:\n    own:\n      entrypoint: app.py\n      domain: math\n      {setting}\n"
    if problem is None:
        assert "own" in own.loaded(text).servers
    else:
        assert own.problems(text) == [f"a.yaml:6: {problem}"]


def test_the_source_says_types_defaults_and_descriptions(own: Folder) -> None:
    code = implementation_of(own.path / "resources_servers" / "own", "app.py")
    assert code is not None
    settings = {setting.name: setting for setting in code.settings}
    assert (settings["wait"].default, settings["wait"].description) == ("3.0", "How long it waits.")
    assert settings["limit"].description == "A limit."
    assert settings["other"].kind is Any


@pytest.mark.parametrize("path", sorted((package() / "server").rglob("*.py")), ids=lambda path: path.stem)
def test_the_outline_of_a_module_has_the_fields_of_its_classes(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert _fields(outline(source)) == _fields(source)


def _fields(source: str) -> dict[str, list[str]]:
    """What the classes of a module declare, each field with the text below it."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    declared = (ast.AnnAssign, ast.Expr)
    return {node.name: [ast.dump(item) for item in node.body if isinstance(item, declared)] for node in classes}


def test_every_setting_of_a_bundled_server_is_described() -> None:
    services = Path(__file__).parents[2] / "services"
    for app in sorted(services.glob("*/*/app.py")):
        code = implementation_of(app.parent, "app.py")
        assert code is not None
        common = {"host", "port", "entrypoint", "num_workers"}
        assert [item.name for item in code.settings if not item.description and item.name not in common] == [], app


def test_a_key_is_explained_where_others_are_wrong(folder: Folder) -> None:
    path = folder.write("s.yaml", STACK.replace(KEY, f"{KEY}      max_retries: -3\n") + "ray: {workers: a}\n")
    loaded = read_config([path], cwd=folder.path, environ={})
    assert len(loaded.problems) == 2
    wrong = explain(loaded.config, "policy.max_retries")
    assert (wrong.value, wrong.won and wrong.won.place) == (-3, "s.yaml:8")
    assert wrong.doc is not None and (wrong.doc.value, wrong.doc.default) == ("a number of at least 0", "2")
    unset = explain(loaded.config, "ray.dashboard")
    assert not unset.is_set and unset.doc is not None and unset.doc.value == "true, false, or a port"


def test_values_that_nobody_set_do_not_hide_the_others(folder: Folder) -> None:
    path = folder.write("s.yaml", STACK.replace("sk-test", "${nowhere}"))
    loaded = read_config([path], cwd=folder.path, environ={})
    assert len(loaded.problems) == 1
    assert explain(loaded.config, "policy.openai_model.openai_model").value == "m"
