"""A server of NeMo Gym that writes next to its code, with an extra, an override and a package from Git."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from free_ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.upstream]

CODE = '''
"""Writes what it needs next to its code when it starts."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)

HERE = Path(__file__).parent


class Writer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    def setup_webserver(self):
        app = super().setup_webserver()
        (HERE / "results").mkdir()
        (HERE / "results" / "started").write_text("yes")
        packages = {name: version(name) for name in ("six", "opensandbox", "from-git")}

        def facts():
            return {"started": (HERE / "results" / "started").read_text(), "uv": shutil.which("uv"), **packages}

        app.get("/facts")(facts)
        return app

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        return BaseVerifyResponse(**body.model_dump(), reward=1.0)


if __name__ == "__main__":
    Writer.run_webserver()
'''
PACKAGE = '[project]\nname = "from-git"\nversion = "1.2.3"\n[tool.setuptools]\npy-modules = []\n'
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]


def gymctl(directory: Path, *arguments: object) -> str:
    command = [sys.executable, "-m", "gymctl.cli.main", *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def repository(folder: Path, source: Path) -> None:
    """A bare repository with one small package in it."""
    source.mkdir()
    (source / "pyproject.toml").write_text(PACKAGE)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*GIT, *command], cwd=source, check=True)
    subprocess.run([*GIT, "clone", "-q", "--bare", str(source), str(folder)], check=True)


def test_a_server_writes_to_its_folder_and_has_all_its_packages(tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    server = stack / "resources_servers" / "writer"
    server.mkdir(parents=True)
    (server / "app.py").write_text(CODE)
    repository(server / "package.git", tmp_path / "source")
    lines = [
        "-e nemo-gym[sandbox] @ ../../",
        "six",
        "from-git @ git+file:///opt/gym/resources_servers/writer/package.git",
    ]
    (server / "requirements.txt").write_text("\n".join(lines) + "\n")
    (server / "overrides.txt").write_text("six==1.16.0\n")
    port = free_port()
    whole = {
        "head_server": {"host": "127.0.0.1", "port": port},
        "writer": {"resources_servers": {"writer": {"entrypoint": "app.py", "domain": "other"}}},
    }
    (stack / "stack.yaml").write_text(yaml.safe_dump(whole))
    try:
        output = gymctl(stack, "up", "stack.yaml", "--gym-version", "0.4.0", "--timeout", "600")
        assert "writer: the code writes files" in output
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_instances") as reply:
            (instance,) = json.load(reply)
        assert instance["dir_path"] == "/opt/gym/resources_servers/writer"
        ask = f"import urllib.request; print(urllib.request.urlopen('{instance['url']}/facts').read().decode())"
        command = ["docker", "compose", "exec", "-T", "head", "python", "-c", ask]
        done = subprocess.run(command, cwd=stack, capture_output=True, text=True, check=True, timeout=60)
        facts = json.loads(done.stdout)
        assert facts["opensandbox"]
        assert {key: facts[key] for key in ("started", "uv", "six", "from-git")} == {
            "started": "yes",
            "uv": "/usr/local/bin/uv",
            "six": "1.16.0",
            "from-git": "1.2.3",
        }
    finally:
        gymctl(stack, "down")
