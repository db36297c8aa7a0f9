"""Run a server's own tests: in its image, or in this Python.

The image holds the server's packages and pytest; the folder itself is mounted, so that a changed test needs no build.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gymctl import assets
from gymctl.config import ServerKind
from gymctl.engines.build.cleanup import remove_earlier_images
from gymctl.engines.build.images import OnBuild, build_images
from gymctl.engines.docker.daemon import connect
from gymctl.engines.docker.jobs import job_command, job_name
from gymctl.engines.docker.location import check_location
from gymctl.engines.docker.requirements import check_engine
from gymctl.engines.protocol import Job, JobMount
from gymctl.engines.runner import OnLine, stream
from gymctl.errors import EngineError, ErrorCode, InputError
from gymctl.stack.images import ImagePlan, read_requirements
from gymctl.stack.runtime import imports_nemo_gym

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTEST = "pytest>=8.3"
_SERVICES = "/opt/gymctl/services"
_PROJECT = "gymctl-env-test"
_KINDS = (ServerKind.RESOURCES, ServerKind.MODEL, ServerKind.AGENT, ServerKind.ENVIRONMENT)
_INI_FILES = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
# docker run's own failures; pytest's codes are 0 to 5
_DOCKER_RUN_FAILED = (125, 126, 127)


@dataclass(frozen=True)
class ServerTests:
    """The tests of the server in ``folder``; ``kind`` and ``name`` say where among the services it belongs."""

    folder: Path
    kind: str
    name: str
    paths: tuple[Path, ...]


def find_tests(name: str, directory: Path) -> ServerTests:
    """The tests of the server ``name``: the user's below ``directory``, else the bundled one.

    ``name`` may also be ``<kind>/<name>``, or the path of the folder.

    Raises:
        InputError: the server does not exist, it has no tests, or it is written for NeMo Gym.
    """
    folder = next((place for place in _places(name, directory) if (place / "app.py").is_file()), None)
    if folder is None:
        raise InputError(
            f"no server {name!r} here or among the bundled ones", _known(directory), ErrorCode.NO_SERVER_CODE
        )
    title = f"{folder.parent.name}/{folder.name}"
    if imports_nemo_gym(folder, "app.py"):
        raise InputError(f"{title} is written for NeMo Gym", "run its tests there: gym env test")
    if any(folder.glob("tests/**/test_*.py")):
        paths = [folder / "tests"]
    else:
        paths = sorted(folder.glob("test_*.py"))
    if not paths:
        raise InputError(f"{title} has no tests", f"add some in {title}/tests/test_{folder.name}.py")
    return ServerTests(folder, folder.parent.name, folder.name, tuple(paths))


def _places(name: str, directory: Path) -> Iterator[Path]:
    path = Path(name)
    for root in (directory, assets.folder("services")):
        for place in (root / path, *(root / kind.value / path for kind in _KINDS)):
            yield place.resolve()


def _known(directory: Path) -> str:
    roots = (directory, assets.folder("services"))
    names = {path.parent.name for root in roots for path in (root / ServerKind.RESOURCES.value).glob("*/app.py")}
    return f"available: {', '.join(sorted(names))}"


def replace_with_tests(tests: ServerTests, arguments: Sequence[str]) -> NoReturn:
    """Become pytest, in this Python and on this terminal, so that a debugger works; the exit code is pytest's.

    Raises:
        InputError: pytest is not installed.
    """
    if importlib.util.find_spec("pytest") is None:
        raise InputError("pytest is not installed", "pip install pytest, or omit --engine local")
    command = [sys.executable, *_pytest(tests, tests.folder, arguments)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    sys.stdout.flush()
    os.chdir(tests.folder)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


def build_image(
    tests: ServerTests,
    *,
    base_image: str | None = None,
    ca_bundle: Path | None = None,
    on_build: OnBuild = lambda _: None,
) -> str:
    """Build the server's image with pytest in it; returns its name.

    Raises:
        EngineError: Docker is missing, or the image cannot be built.
    """
    client = connect(f", or run without Docker: gymctl env test {tests.name} --engine local")
    check_engine(client)
    check_location(client)
    plan = image_for(tests)
    images = build_images([plan], directory=tests.folder, base_image=base_image, ca_bundle=ca_bundle, on_event=on_build)
    return images[plan.tag]


def run_in_image(tests: ServerTests, image: str, arguments: Sequence[str], on_line: OnLine) -> int:
    """Run the tests in an image that ``build_image`` built, and remove earlier ones; the exit code is pytest's.

    Raises:
        EngineError: the container cannot be started.
    """
    place = Path(_SERVICES, tests.kind, tests.name)
    job = Job(["python", *_pytest(tests, place, arguments)], [JobMount(tests.folder, str(place))], image=image)
    # as the image's own user, whom servers run as: nothing is written where it would have to belong to this one
    argv = job_command(job, name=job_name(_PROJECT), project=_PROJECT, networks=("bridge",), user=(), nofile=0)
    done = stream(argv, on_line, on_error_line=on_line, check=False)
    remove_earlier_images(connect(), [image], tests.folder)
    if done.code in _DOCKER_RUN_FAILED:
        raise EngineError(
            f"the tests could not be started: docker run exited with code {done.code}", "see the line above"
        )
    return done.code


def image_for(tests: ServerTests) -> ImagePlan:
    """The image to run the tests in: one for all servers that need no packages of their own, else one of its own."""
    from gymctl import __version__

    own = read_requirements(tests.folder)
    more = read_requirements(tests.folder / "tests")
    if own or more:
        suffix = f"-{tests.name.replace('_', '-')}"
    else:
        suffix = ""
    return ImagePlan(f"{_PROJECT}{suffix}:{__version__}", None, own, test_requirements=(_PYTEST, *more))


def _pytest(tests: ServerTests, place: Path, arguments: Sequence[str]) -> list[str]:
    """Pytest's arguments with the server's folder at ``place``; no settings but the folder's own have a say."""
    own_settings = any((tests.folder / name).is_file() for name in _INI_FILES)
    if own_settings:
        settings = []
    else:
        settings = ["-c", os.devnull]
    paths = [str(place / path.relative_to(tests.folder)) for path in tests.paths]
    return ["-m", "pytest", "-p", "no:cacheprovider", *settings, f"--rootdir={place}", *arguments, *paths]
