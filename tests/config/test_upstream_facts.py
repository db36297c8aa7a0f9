"""``config/upstream.py``: held to the NeMo Gym that is installed for tests, and read where it is used."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gymctl.config import upstream
from gymctl.config.gym_release import version_in
from gymctl.config.vocabulary import RESERVED_KEYS
from gymctl.stack.file_writers import writes_files

# Parameters of 0.7.0 that none of our servers passes to a model: they are refused instead of ignored.
_NOT_TAKEN = {"context_management", "moderation"}

_SCRIPT = """
import json
from importlib.metadata import version
from typing import get_args
from nemo_gym import config_types, global_config, openai_utils
licences = {arg for field in config_types.DatasetConfig.model_fields.values() for arg in _literals(field.annotation)}
print(json.dumps({
    "version": version("nemo-gym"),
    "ray": version("ray"),
    "reserved": global_config.NEMO_GYM_RESERVED_TOP_LEVEL_KEYS,
    "domains": [domain.value for domain in config_types.Domain],
    "literals": sorted(licences),
    "params": list(openai_utils.NeMoGymResponseCreateParamsNonStreaming.model_fields),
}))
"""
_LITERALS = """
def _literals(annotation):
    from typing import Literal, get_args, get_origin
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    for arg in get_args(annotation):
        yield from _literals(arg)
"""


def test_releases_are_in_order_and_named_once() -> None:
    versions = [tuple(map(int, release.version.split("."))) for release in upstream.RELEASES]
    assert versions == sorted(set(versions))
    assert upstream.release_of(upstream.DEFAULT.version) is upstream.DEFAULT
    assert upstream.release_of("0.0.1") is None


def test_what_a_configuration_may_say_is_what_any_release_knows() -> None:
    for release in upstream.RELEASES:
        assert release.reserved_keys <= RESERVED_KEYS
        assert set(release.domains) <= set(upstream.DOMAINS)
        assert set(release.licenses) <= set(upstream.LICENSES)
        assert release.defaults.keys() <= release.reserved_keys


def test_no_other_module_has_a_release_of_nemo_gym_in_its_code() -> None:
    package = Path(__file__).parents[2] / "gymctl"
    versions = {f'"{release.version}"' for release in upstream.RELEASES}
    files = [path for path in package.rglob("*.py") if any(v in path.read_text(encoding="utf-8") for v in versions)]
    assert [path.name for path in files] == ["upstream.py"]


def interpreter(variable: str) -> str:
    """The Python with NeMo Gym that an environment variable names; without it the test is skipped."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no interpreter with NeMo Gym in it")
    return python


@pytest.mark.upstream
@pytest.mark.parametrize("variable", ["GYMCTL_UPSTREAM_PYTHON", "GYMCTL_UPSTREAM_07_PYTHON"])
def test_the_facts_of_the_installed_release(variable: str) -> None:
    done = subprocess.run(
        [interpreter(variable), "-c", _LITERALS + _SCRIPT], check=True, capture_output=True, text=True
    )
    facts = json.loads(done.stdout.splitlines()[-1])
    release = upstream.release_of(facts["version"])
    assert release is not None
    assert set(facts["reserved"]) <= release.reserved_keys
    assert tuple(facts["domains"]) == release.domains
    assert set(facts["literals"]) >= set(release.licenses)
    assert facts["ray"] == release.ray
    assert set(facts["params"]) - _NOT_TAKEN <= upstream.CREATE_PARAMS


@pytest.mark.upstream
@pytest.mark.parametrize("variable", ["GYMCTL_UPSTREAM_PYTHON", "GYMCTL_UPSTREAM_07_PYTHON"])
def test_which_servers_of_the_installed_release_write_files(variable: str) -> None:
    root = next(Path(interpreter(variable)).parents[1].glob("lib/python3.*/site-packages"))
    kinds = ("responses_api_agents", "resources_servers")
    folders = [path.parent for kind in kinds for path in root.glob(f"{kind}/*/app.py")]
    release = upstream.release_of(str(version_in(root)))
    assert release is not None
    assert {folder.name for folder in folders if writes_files(folder, "app.py")} == release.file_writers
