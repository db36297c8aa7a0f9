"""The image of servers: hardened, with secrets as exact environment variables, and with what servers need only."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gymctl.engines.build.images import BuildEvent, build_images
from gymctl.engines.docker.jobs import nofile_limit
from gymctl.engines.runner import Completed, run
from gymctl.stack import ImagePlan

pytestmark = pytest.mark.docker

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init")


def in_container(image: str, code: str, *options: str) -> Completed:
    return run(["docker", "run", "--rm", *HARDENED, *options, image, "python", "-c", code], check=False, timeout=60)


def test_runs_hardened_as_its_own_user(image: str) -> None:
    done = in_container(
        image,
        "import os, json, pathlib\n"
        "status = dict(l.split(':', 1) for l in pathlib.Path('/proc/self/status').read_text().splitlines())\n"
        "try: pathlib.Path('/opt/gymctl/x').touch(); wrote = True\n"
        "except OSError: wrote = False\n"
        "pathlib.Path('/tmp/x').touch()\n"
        "print(json.dumps([os.getuid(), status['CapEff'].strip(), status['NoNewPrivs'].strip(), wrote]))",
    )
    assert json.loads(done.stdout) == [10001, "0" * 16, "1", False], done.stderr


def test_servers_and_the_job_import_and_the_bundled_servers_are_found(image: str) -> None:
    done = in_container(
        image,
        "import gymctl.server, gymctl.rollouts.container_job, gymctl.assets as a, pathlib\n"
        "print(a.folder('services'), gymctl.server.__cached__, pathlib.Path(gymctl.server.__cached__).exists())\n"
        "import asyncio; print(pathlib.Path(asyncio.__cached__).exists())",
    )
    assert done.stdout.split()[0] == "/opt/gymctl/services", done.stderr
    assert done.stdout.split()[2:] == ["True", "True"]


def test_nothing_of_the_command_line_is_in_it(image: str) -> None:
    done = in_container(
        image,
        "from importlib.util import find_spec\n"
        "print([n for n in 'typer docker jinja2 uv pip gymctl.cli gymctl.engines'.split() if find_spec(n)])",
    )
    assert done.stdout == "[]\n", done.stderr


def test_secrets_become_the_environment_exactly(image: str, tmp_path: Path) -> None:
    secrets = {
        "PLAIN": "x",
        "NEWLINES": "a\nb\n\n",
        "QUOTES": "$x \"q\" 'p' `id` \\n é 🙂",
        "EMPTY": "",
        "_UNDER": " s ",
    }
    for name, value in {**secrets, "lower": "1", "1DIGIT": "1", "DASH-ED": "1"}.items():
        (tmp_path / name).write_text(value, encoding="utf-8")
        (tmp_path / name).chmod(0o644)
    tmp_path.chmod(0o755)
    done = in_container(
        image,
        "import os, json; print(json.dumps(dict(os.environ)))",
        "--volume",
        f"{tmp_path}:/run/secrets:ro",
    )
    environment = json.loads(done.stdout)
    assert {name: environment.get(name) for name in secrets} == secrets
    assert not {"lower", "1DIGIT", "DASH-ED", "value", "name", "file"} & environment.keys()


def test_unreadable_secret_stops_the_container_and_says_so(image: str, tmp_path: Path) -> None:
    (tmp_path / "KEY").write_text("x")
    (tmp_path / "KEY").chmod(0o600)
    tmp_path.chmod(0o755)
    done = in_container(image, "print('started')", "--volume", f"{tmp_path}:/run/secrets:ro")
    assert done.code == 1
    assert "the secret KEY cannot be read by uid 10001" in done.stderr
    assert "started" not in done.stdout


def test_signals_reach_the_server(image: str) -> None:
    done = run(
        ["docker", "run", "--rm", *HARDENED, image, "sh", "-c", "sleep 0.2; kill -TERM $$; sleep 5"],
        check=False,
        timeout=30,
    )
    assert done.code == 143


def test_open_files_limit_is_one_that_starts(image: str) -> None:
    limit = nofile_limit(image)
    assert 0 < limit <= 65535
    done = in_container(
        image, "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)[1])", "--ulimit", f"nofile={limit}"
    )
    assert done.stdout.strip() == str(limit), done.stderr


def test_what_is_built_already_is_not_built_again(tmp_path: Path) -> None:
    folder = tmp_path / "resources_servers" / "mine"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("print('one')\n")
    plan = ImagePlan(f"gymctl-test-again:{os.getpid()}", folder)
    try:
        kinds, names = [], []
        for text in ("one", "one", "two"):
            (folder / "app.py").write_text(f"print('{text}')\n")
            events: list[BuildEvent] = []
            names.append(build_images([plan], on_event=events.append)[plan.tag])
            kinds.append({event.kind for event in events})
        assert "step" in kinds[0] and "step" in kinds[2]
        assert kinds[1] == {"start", "done"}
        path = "services/resources_servers/mine/app.py"
        output = run(["docker", "run", "--rm", "--network", "none", names[2], "python", path])
        assert output.stdout == "two\n"
        assert names[0] == names[1] != names[2]
        earlier = run(["docker", "run", "--rm", "--network", "none", names[0], "python", path])
        assert earlier.stdout == "one\n", "a later build does not change what an earlier one made"
    finally:
        run(["docker", "image", "rm", "-f", plan.tag, *names], check=False)
