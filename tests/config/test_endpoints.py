"""Keys and base URLs that cannot be right are refused before anything starts; includes may hold variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymctl.config import load_config
from gymctl.errors import ConfigError, GymctlError

MODEL = """
policy_model:
  responses_api_models:
    vllm_model: {{entrypoint: app.py, base_url: {url}, api_key: {key}, model: m}}
"""
SCRIPTED = "policy_model:\n  responses_api_models:\n    scripted_model: {entrypoint: app.py}\n"


def problems(folder: Path, url: str = "http://127.0.0.1:1/v1", key: str = "sk-1") -> str:
    (folder / "stack.yaml").write_text(MODEL.format(url=url, key=key))
    with pytest.raises(ConfigError) as error:
        load_config(["stack.yaml"], cwd=folder, environ={})
    return str(error.value)


@pytest.mark.parametrize(
    "key", ['"sk-secret\\n"', '"sk-secret\\r\\n"', '" sk-secret"', '"sk-se cret"', '"sk-secret\\t"']
)
def test_a_key_that_no_header_can_carry(tmp_path: Path, key: str) -> None:
    said = problems(tmp_path, key=key)
    assert "policy_model: api_key holds a" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("http://h:1/v1/chat/completions", "http://h:1/v1"),
        ("https://h/v1/responses/", "https://h/v1"),
        ("[http://h/v1, http://g/v1/completions]", "http://g/v1"),
        ("localhost:8000/v1", "http://localhost:8000/v1"),
        ("api.example.com", "https://api.example.com"),
        ('"http://h/v1 "', "one line"),
    ],
)
def test_a_base_url_that_is_none(tmp_path: Path, url: str, cure: str) -> None:
    said = problems(tmp_path, url=url)
    assert "base_url" in said
    assert cure in said


@pytest.mark.parametrize("url", ["http://h:1", "https://h/openai/deployments/x", "[http://a/v1, http://b/v1]"])
def test_base_urls_that_may_be_right(tmp_path: Path, url: str) -> None:
    (tmp_path / "stack.yaml").write_text(MODEL.format(url=url, key="sk-1"))
    assert load_config(["stack.yaml"], cwd=tmp_path, environ={}).servers


@pytest.mark.parametrize(
    ("top", "arguments"),
    [
        ('config_paths: ["${oc.env:CONFIG_ROOT}/base.yaml"]', ["top.yaml"]),
        ('root: base\nconfig_paths: ["${root}/base.yaml"]', ["top.yaml"]),
        ('at: {root: base}\nconfig_paths: ["${at.root}/base.yaml"]', ["top.yaml"]),
        ('root: "${oc.env:CONFIG_ROOT}"\nconfig_paths: ["${root}/base.yaml"]', ["top.yaml"]),
        ('name: base\nconfig_paths: ["base/${oc.env:NONE,${name}}.yaml"]', ["top.yaml"]),
        ('config_paths: "${oc.env:CONFIG_ROOT}/base.yaml"', ["top.yaml"]),
        ("", ["+config_paths=[${oc.env:CONFIG_ROOT}/base.yaml]"]),
        ("", ["+root=base", "+config_paths=[${root}/base.yaml]"]),
    ],
)
def test_variables_in_the_name_of_an_include(tmp_path: Path, top: str, arguments: list[str]) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.yaml").write_text(SCRIPTED)
    (tmp_path / "top.yaml").write_text(top + "\n")
    config = load_config(arguments, cwd=tmp_path, environ={"CONFIG_ROOT": str(tmp_path / "base")})
    assert list(config.servers) == ["policy_model"]


@pytest.mark.parametrize("text", ["${oc.env:NOT_SET}/base.yaml", "${nowhere}/base.yaml", "${a}${"])
def test_a_variable_that_leads_nowhere_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "top.yaml").write_text(f"config_paths: ['{text}']\n")
    with pytest.raises(GymctlError) as error:
        load_config(["top.yaml"], cwd=tmp_path, environ={})
    assert "top.yaml:1" in str(error.value)
