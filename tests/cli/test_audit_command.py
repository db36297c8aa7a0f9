"""``gymctl audit``: of a file, of a configuration, of what does not run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_stack import Gymctl

pytestmark = pytest.mark.unit

CONFIGURATION = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/weather/configs/weather.yaml
"""


def test_a_rendered_file_and_its_configuration_have_the_same_findings(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(CONFIGURATION)
    assert gymctl("render", "stack.yaml", "-o", "compose.yaml").code == 0
    before = sorted(folder.rglob("*"))
    of_file = gymctl("audit", "compose.yaml", "--json")
    of_configuration = gymctl("audit", "stack.yaml", "--json")
    assert (of_file.code, of_configuration.code) == (0, 0)
    assert json.loads(of_file.out)["findings"] == json.loads(of_configuration.out)["findings"]
    assert sorted(folder.rglob("*")) == before


def test_a_finding_has_its_evidence_and_its_fix(gymctl: Gymctl, folder: Path) -> None:
    (folder / "mine.yaml").write_text("services: {web: {image: nginx, privileged: true}}\n")
    result = gymctl("audit", "mine.yaml")
    assert result.code == 0
    assert result.out.splitlines()[:3] == [
        "critical privileged: a container can do anything on the machine",
        "         web: privileged: true",
        "         fix: privileged: false",
    ]
    assert "score" in result.out.splitlines()[-1]


def test_the_exit_code_follows_the_lowest_score(gymctl: Gymctl, folder: Path) -> None:
    (folder / "mine.yaml").write_text("services: {web: {image: nginx}}\n")
    score = json.loads(gymctl("audit", "mine.yaml", "--json").out)["score"]
    assert gymctl("audit", "mine.yaml", "--min-score", str(score)).code == 0
    assert gymctl("audit", "mine.yaml", "--min-score", str(score + 1)).code == 1
    assert gymctl("audit", "mine.yaml", "--min-score", "101").code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: {web: {ports: {}}}\n", "mine.yaml: services.web.ports"),
        ("services: [a]\n", "mine.yaml"),
        ("a: [\n", "mine.yaml:"),
        ("\udcff", "mine.yaml is not UTF-8 text"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(gymctl: Gymctl, folder: Path, text: str, message: str) -> None:
    (folder / "mine.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    result = gymctl("audit", "mine.yaml")
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_without_a_stack_and_without_arguments(gymctl: Gymctl, folder: Path) -> None:
    result = gymctl("audit")
    assert result.code == 2
    assert "no stack was brought up" in result.err
