"""What ``gymctl render`` writes, where, and what it keeps to itself."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli_stack import EXAMPLE, GOOD, Gymctl, contents

SECRET = "sk-a-key-that-nobody-may-see"
MODEL = """\
policy_model:
  responses_api_models:
    openai_model:
      entrypoint: app.py
      openai_base_url: ${policy_base_url}
      openai_api_key: ${policy_api_key}
      openai_model: m
"""


@pytest.fixture
def with_a_key(folder: Path) -> list[str]:
    (folder / "stack.yaml").write_text(GOOD.replace(GOOD[: GOOD.index("weather:")], MODEL))
    return ["stack.yaml", "+policy_base_url=http://10.0.0.7/v1", f"+policy_api_key={SECRET}"]


def test_the_same_bytes_each_time_and_in_each_process(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    texts = {gymctl("render", "stack.yaml").out for _ in range(2)}
    for seed in ("0", "1"):
        argv = [sys.executable, "-m", "gymctl.cli.main", "render", "stack.yaml"]
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        texts.add(subprocess.run(argv, capture_output=True, text=True, check=True, env=environ).stdout)
    assert len(texts) == 1
    document = yaml.safe_load(texts.pop())
    assert document["name"] == "trial"
    assert set(document["services"]) == {"head", "policy_model", "weather", "my_agent"}


def test_a_file_is_what_standard_output_would_be(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    printed = gymctl("render", "stack.yaml")
    result = gymctl("render", "stack.yaml", "-o", "compose.yaml")
    assert (result.code, result.out) == (0, "")
    assert "wrote compose.yaml: 4 services" in result.err
    assert (folder / "compose.yaml").read_text() == printed.out
    assert set(contents(folder)) == {"stack.yaml", "compose.yaml"}


def test_a_file_of_ours_is_replaced(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    for name in ("one", "two"):
        assert gymctl("render", "stack.yaml", "-o", "compose.yaml", "--name", name).code == 0
    assert yaml.safe_load((folder / "compose.yaml").read_text())["name"] == "two"


def test_the_stack_is_named_after_the_folder_of_the_file(gymctl: Gymctl, folder: Path) -> None:
    (folder / "My Stack").mkdir()
    gymctl("render", EXAMPLE, "-o", "My Stack/compose.yaml")
    assert yaml.safe_load((folder / "My Stack" / "compose.yaml").read_text())["name"] == "mystack"


def test_notes_go_to_standard_error(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    result = gymctl("render", "stack.yaml", "+policy_model.responses_api_models.scripted_model.unheard=1")
    assert result.code == 0
    assert result.lines[0].startswith("note: ") and "reads no 'unheard'" in result.lines[0]
    assert "note:" not in result.out
    yaml.safe_load(result.out)


def test_loopback_becomes_the_hosts_name_with_a_note(gymctl: Gymctl, with_a_key: list[str]) -> None:
    result = gymctl("render", *with_a_key, "++policy_base_url=http://localhost:8000/v1")
    assert "host.docker.internal" in result.out
    assert any("localhost" in line and line.startswith("note: ") for line in result.lines)


def test_no_secret_is_printed(gymctl: Gymctl, folder: Path, with_a_key: list[str]) -> None:
    result = gymctl("render", *with_a_key)
    assert result.code == 0
    assert SECRET not in result.out + result.err
    assert re.search(r"render stack.yaml .*\+policy_api_key=(\*+|\.\.\.)", result.out.splitlines()[0])
    assert list(contents(folder)) == ["stack.yaml"]


def test_a_configuration_without_secrets_says_so(gymctl: Gymctl, folder: Path) -> None:
    assert gymctl("secrets", "list", "examples/quickstart").out == "this configuration has no secrets\n"
    assert gymctl("secrets", "list", "examples/quickstart", "--json").out == "{}\n"


def test_secrets_lie_in_files_for_this_user_only(gymctl: Gymctl, folder: Path, with_a_key: list[str]) -> None:
    result = gymctl("render", *with_a_key, "-o", "compose.yaml")
    assert result.code == 0
    text = (folder / "compose.yaml").read_text()
    assert SECRET not in text + result.err
    secrets = yaml.safe_load(text)["secrets"]
    token = folder / secrets.pop("GYMCTL_POLICY_TOKEN")["file"]
    assert (folder / ".gymctl" / "policy-token").read_text() == f"{token.read_text()}\n"
    places = [folder / secret["file"] for secret in secrets.values()]
    assert [place.read_text() for place in places] == [SECRET]
    assert stat.S_IMODE(places[0].parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / ".gymctl").stat().st_mode) == 0o700
    assert (folder / ".gymctl" / ".gitignore").read_text() == "*\n"


def test_upstreams_spelling(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    ours = gymctl("render", "stack.yaml", "+head_server.port=12345")
    theirs = gymctl("render", "+config_paths=[stack.yaml]", "+head_server.port=12345")
    document = yaml.safe_load(theirs.out)
    assert yaml.safe_load(ours.out) == document
    assert "12345" in str(document["services"]["head"]["ports"])


def test_the_command_that_renders_a_file_again_has_its_options(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    first = gymctl("render", "stack.yaml", "--slice", "full", "--name", "other", "--nofile", "4096").out
    again = first.splitlines()[0].rpartition("gymctl ")[2]
    assert again == "render stack.yaml --name other --slice full --nofile 4096 -o compose.yaml"
    assert gymctl(*again.split()).code == 0
    assert (folder / "compose.yaml").read_text() == first


def test_a_version_of_nemo_gym_that_is_none(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    result = gymctl("render", "stack.yaml", "--gym-version", "newest")
    assert (result.code, result.out) == (2, "")
    assert (
        result.err
        == "error: --gym-version 'newest' is not a version; use a version of nemo-gym on PyPI, such as 0.7.0\n"
    )
