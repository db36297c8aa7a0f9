"""Names of included files may hold variables, as NeMo Gym's do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymctl.config import load_config
from gymctl.errors import GymctlError

SCRIPTED = "policy_model:\n  responses_api_models:\n    scripted_model: {entrypoint: app.py}\n"


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
