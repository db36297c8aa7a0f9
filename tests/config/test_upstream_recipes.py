"""Recipes of NeMo RL resolve here as NeMo Gym 0.7.0 resolves what NeMo RL gives it, and render.

``GYMCTL_RECIPES`` may name a folder of recipes, such as ``examples/nemo_gym`` of NeMo RL, to be held against it too.
Needs an interpreter with ``nemo-gym`` 0.7.0 installed, named by ``GYMCTL_UPSTREAM_07_PYTHON``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from upstream_comparison import difference, self_serving

from gymctl.config import Config, load_config
from gymctl.config.upstream import SELF_SERVING_FIELDS, SELF_SERVING_MODEL
from gymctl.errors import InputError
from gymctl.stack import StackOptions, plan_stack, render_stack

pytestmark = pytest.mark.upstream

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "upstream_recipes.py"
PYTHON = "GYMCTL_UPSTREAM_07_PYTHON"
OWN = Path(__file__).parent / "recipes"
BASE_URL = "http://policy.example/v1"
LAUNCHED_MODEL = "model-of-the-launcher"  # given where a recipe has none

# Parts of the messages with which upstream and gymctl refuse a recipe.
REFUSED_BY_BOTH = {
    "was not found": "it names a configuration that this release of NeMo Gym does not have",
    "Missing key policy": "a part of another recipe: it has no policy",
    "Missing key nemo_gym": "not for NeMo Gym",
    "Missing key env": "not for NeMo Gym",
}


def folders() -> Iterator[Path]:
    """The recipes here, and those of the folder that the environment names."""
    yield OWN
    if named := os.environ.get("GYMCTL_RECIPES"):
        yield Path(named)


@pytest.fixture(scope="module", params=folders(), ids=["own", "named"][: len(list(folders()))], name="recipes")
def recipes_fixture(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[dict[str, Any]]]:
    """A folder, where upstream's package is, and what upstream made of each recipe in the folder."""
    python = os.environ.get(PYTHON, "")
    if not Path(python).is_file():
        pytest.skip(f"{PYTHON} names no interpreter with nemo-gym 0.7.0 in it")
    command = [python, str(SCRIPT), str(request.param), str(tmp_path_factory.mktemp("empty"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    root, *entries = [json.loads(line) for line in done.stdout.splitlines()]
    return request.param, Path(root["root"]), entries


def test_every_recipe_resolves_as_upstream_resolves_it_and_renders(
    recipes: tuple[Path, Path, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, root, entries = recipes
    outcomes = {entry["recipe"]: _outcome(entry, folder, root) for entry in entries}
    wrong = {recipe: text for recipe, text in outcomes.items() if text and not text.startswith("refused by both")}
    refused = sum(bool(text) for text in outcomes.values()) - len(wrong)
    with capsys.disabled():
        print(f"\n{len(outcomes) - len(wrong) - refused} of {len(outcomes) - refused} recipes in {folder.name}")
    assert not wrong, json.dumps(wrong, indent=2)
    assert len(outcomes) > refused


def _outcome(entry: Mapping[str, Any], folder: Path, root: Path) -> str:
    """What is wrong with a recipe here; empty when nothing is."""
    if entry["error"]:
        reason = next((reason for part, reason in REFUSED_BY_BOTH.items() if part in entry["error"]), "")
        if not reason or not _refused(entry, folder, root):
            return f"only upstream refuses it: {entry['error'][:500]}"
        return f"refused by both: {reason}"
    resolved = {name: _with_vllm_model(value) for name, value in entry["resolved"].items()}
    outside = [f"++{name}.at=http://gpu-1:8000" for name in self_serving(resolved)]
    try:
        text = difference(_load(entry, folder, root), resolved)
        config = _load(entry, folder, root, *outside, "+runtime=nemo-gym")
        plan = plan_stack(config, name="stack", options=StackOptions(version="1", gym_version="0.7.0", gym_root=root))
    except InputError as error:
        return f"ours refuses it: {error}"
    assert "services:" in render_stack(plan)
    return text


def _refused(entry: Mapping[str, Any], folder: Path, root: Path) -> bool:
    try:
        _load(entry, folder, root)
    except InputError:
        return True
    return False


def _with_vllm_model(value: Any) -> Any:
    """A server that has the URL of an endpoint in place of a vLLM of its own: here vllm_model, its base class."""
    fields = value.get("responses_api_models", {}).get(SELF_SERVING_MODEL) if isinstance(value, dict) else None
    if not fields or not fields.get("base_url"):
        return value
    own = {key: field for key, field in fields.items() if key not in SELF_SERVING_FIELDS}
    return {**value, "responses_api_models": {"vllm_model": own}}


def _load(entry: Mapping[str, Any], folder: Path, root: Path, *arguments: str) -> Config:
    if (entry["resolved"] or {}).get("policy_model_name") == LAUNCHED_MODEL:
        arguments = (f"+policy_model_name={LAUNCHED_MODEL}", *arguments)
    return load_config(
        [str(folder / entry["recipe"]), f"+policy_base_url={BASE_URL}", *arguments],
        cwd=folder,
        environ=entry["environ"],
        gym_root=root,
    )
