"""Every configuration that NeMo Gym 0.4.0 ships resolves here as its own parser resolves it.

Needs an interpreter with ``nemo-gym`` installed, named by ``GYMCTL_UPSTREAM_PYTHON``.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_files import Folder

from gymctl.config import Config
from gymctl.errors import InputError

PYTHON = os.environ.get("GYMCTL_UPSTREAM_PYTHON", "")
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "upstream_configs.py"

# Computed by upstream's parser for its own process: ports it picked, versions and folders of the machine.
COMPUTED = (
    "config_paths head_server disallowed_ports port_range_low port_range_high use_absolute_ip head_server_deps "
    "python_version skip_venv_if_present dry_run uv_cache_dir uv_venv_dir"
).split()

# Configurations that differ, and why that is right.
DIFFERENCES = {
    "resources_servers/math_with_judge/configs/math_with_local_judge.yaml": (
        "an overlay for another configuration; alone, its math_with_judge has no entrypoint, and upstream leaves such "
        "an entry out without a word: here that is said, and +error_on_almost_servers=false does as upstream does"
    ),
}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if not PYTHON or not Path(PYTHON).is_file():
        pytest.skip("GYMCTL_UPSTREAM_PYTHON names no interpreter with nemo-gym 0.4.0 in it")
    folder = tmp_path_factory.mktemp("empty")
    done = subprocess.run([PYTHON, str(SCRIPT), str(folder)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_shipped_configuration_resolves_as_upstream_resolves_it(
    upstream: list[dict[str, Any]], folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    root, *entries = upstream
    environ = {"NEMO_GYM_EXTRA_ROOTS": root["root"]}
    differing = {}
    for entry in entries:
        difference = _difference(entry, folder, environ)
        if difference:
            differing[entry["config"]] = difference
    kinds = {entry["config"].split("/")[0]: 0 for entry in entries}
    counts = ", ".join(
        f"{sum(config.startswith(kind) and config not in differing for config in configs)} of "
        f"{sum(config.startswith(kind) for config in configs)} {kind}"
        for kind in kinds
        for configs in [[entry["config"] for entry in entries]]
    )
    as_they_are = sum(entry["error"] is None for entry in entries)
    with capsys.disabled():
        print(
            f"\n{len(entries) - len(differing)} of {len(entries)} configurations as upstream resolves them ({counts}); "
            f"{as_they_are} of them as they are, the others are refused by both and agree once completed"
        )
    unexpected = {config: text for config, text in differing.items() if config not in DIFFERENCES}
    assert not unexpected, json.dumps(unexpected, indent=2)
    assert len(entries) > 200
    assert not set(DIFFERENCES) - set(differing), "these no longer differ"


def _difference(entry: dict[str, Any], folder: Folder, environ: dict[str, str]) -> str:
    """What is not as upstream has it; empty when all is."""
    given = [f"+{key}='{value}'" for key, value in entry["given"].items()]
    arguments = [f"+config_paths=[{','.join(entry['paths'])}]", *given]
    try:
        folder.load(*arguments, environ=environ)
        refused = ""
    except InputError as error:
        refused = str(error)
    if bool(refused) != bool(entry["error"]):
        return f"upstream: {entry['error'] or 'accepts'}; ours: {refused or 'accepts'}"
    if entry["resolved"] is None:
        return f"upstream cannot be satisfied: {entry['at_last']}"
    folder.write("added.yaml", yaml.safe_dump(entry["added"]))
    arguments[0] = f"+config_paths=[{','.join([*entry['paths'], 'added.yaml'])}]"
    try:
        ours = _comparable(folder.load(*arguments, environ=environ), entry["resolved"])
    except InputError as error:
        return f"ours refuses what upstream accepts: {error}"
    theirs = {key: value for key, value in entry["resolved"].items() if key not in COMPUTED}
    return "" if ours == theirs else f"upstream: {theirs}; ours: {ours}"


def _comparable(config: Config, theirs: dict[str, Any]) -> dict[str, Any]:
    """Our resolved view, with the hosts and ports that upstream picked where the configuration has none."""
    ours = {key: value for key, value in config.resolved.items() if key not in COMPUTED}
    for server in config.servers.values():
        picked = theirs[server.name][server.kind.value][server.implementation]
        fields = {**server.fields}
        fields["host"] = server.host or "127.0.0.1"
        fields["port"] = server.port or picked["port"]
        ours[server.name] = {**ours[server.name], server.kind.value: {server.implementation: fields}}
    return ours
