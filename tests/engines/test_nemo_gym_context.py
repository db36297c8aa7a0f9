"""What goes into images of NeMo Gym, and the two small programs that run in them."""

import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from gymctl import assets
from gymctl.engines.build.command import Build, build_command
from gymctl.engines.build.nemo_gym import locked, stage_gym
from gymctl.errors import InputError
from gymctl.stack import GymBuild, GymSource

CONTEXT = {"constraints.txt", "entrypoint.sh", "gymctl_ray.py", "python_version.py", "requirements.py"}
PROGRAM = assets.folder("dockerfiles") / "nemo-gym" / "requirements.py"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "Gym"
    texts = {
        "pyproject.toml": '[project]\nname = "nemo-gym"\n',
        "uv.lock": '[[package]]\nname = "ray"\nversion = "2.55.1"\nsource = { registry = "r" }\n',
        "nemo_gym/__init__.py": "",
        "resources_servers/math/app.py": "import nemo_gym",
        "resources_servers/math/.venv/bin/python": "x" * 100,
        "cache/uv/big": "x",
        ".git/config": "x",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def staged(tmp_path: Path, build: GymBuild, folder: Path | None = None) -> Path:
    target = tmp_path / "context"
    target.mkdir()
    stage_gym(target, build, folder, lambda note: None)
    return target


def test_from_pypi_nothing_but_the_pins_goes_in(tmp_path: Path) -> None:
    target = staged(tmp_path, GymBuild(GymSource("0.4.0")))
    assert files(target) == CONTEXT
    assert {path.name for path in target.iterdir() if path.is_dir()} == {"checkout", "folder", "project"}
    assert "ray[default]==2.55.1" in (target / "constraints.txt").read_text()


def test_a_version_that_is_not_known_has_no_pins(tmp_path: Path) -> None:
    assert (staged(tmp_path, GymBuild(GymSource("0.9.9"))) / "constraints.txt").read_text() == ""


def test_a_version_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a version"):
        staged(tmp_path, GymBuild(GymSource("0.4.0 --extra-index-url=http://evil")))


def test_a_checkout_goes_in_without_its_environments_and_caches(tmp_path: Path, checkout: Path) -> None:
    target = staged(tmp_path, GymBuild(GymSource(root=checkout)))
    assert files(target / "checkout") == {
        "pyproject.toml",
        "uv.lock",
        "nemo_gym/__init__.py",
        "resources_servers/math/app.py",
    }
    assert files(target / "project") == {"pyproject.toml"}
    assert (target / "constraints.txt").read_text() == "ray==2.55.1\n"


def test_a_server_on_a_base_brings_its_own_folder_only(tmp_path: Path, checkout: Path) -> None:
    build = GymBuild(GymSource(), "base:1", "resources_servers/math")
    target = staged(tmp_path, build, checkout / "resources_servers" / "math")
    assert files(target / "folder") == {"resources_servers/math/app.py"}
    assert files(target / "checkout") == set()


def test_a_package_locked_in_two_versions_is_left_open(tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    entry = '[[package]]\nname = "{}"\nversion = "{}"\nsource = {{ {} = "x" }}\n'
    lock.write_text(
        entry.format("numpy", 1, "registry")
        + entry.format("numpy", 2, "registry")
        + entry.format("ray", 3, "registry")
        + entry.format("nemo-gym", 4, "editable")
    )
    assert list(locked(lock)) == ["ray==3"]
    assert list(locked(tmp_path / "none")) == []


def test_build_arguments_name_the_stage_and_the_base(tmp_path: Path) -> None:
    build = Build(tmp_path / "D", "py", target="base", arguments={"SERVER": "a/b"})
    command = build_command(["t"], tmp_path, build, None)
    assert command[command.index("--target") + 1] == "base"
    assert [command[number + 1] for number, word in enumerate(command) if word == "--build-arg"] == [
        "BASE_IMAGE=py",
        "SERVER=a/b",
    ]


INSTALLED = """\
Metadata-Version: 2.4
Name: nemo-gym
Version: 9.9
Provides-Extra: sandbox
Provides-Extra: all
Requires-Dist: pydantic
Requires-Dist: opensandbox>=0.1.15; extra == "sandbox"
Requires-Dist: e2b<3,>=2; python_version < "4" and extra == "sandbox"
Requires-Dist: nemo-gym[dev,sandbox]; extra == "all"
Requires-Dist: pytest; extra == "dev"
"""


def arguments(tmp_path: Path, **texts: str) -> list[str]:
    """What the program prints for a server with these files, when a NeMo Gym with two extras is installed."""
    folder = tmp_path / "resources_servers" / "mine"
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    package = tmp_path / "site" / "nemo_gym-9.9.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text(INSTALLED)
    command = [sys.executable, str(PROGRAM), str(folder), str(tmp_path / "out")]
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()


def requirements_text(tmp_path: Path, **texts: str) -> str:
    """The text of the only file that the program names, or nothing."""
    printed = arguments(tmp_path, **texts)
    assert printed[::2] in ([], ["--requirements"])
    return "".join(Path(path).read_text() for path in printed[1::2])


@pytest.mark.parametrize(
    "line",
    [
        "-e nemo-gym[dev] @ ../../",
        "-e ../../",
        "nemo-gym[dev]",
        "--editable ../..",
        "-e ../../  # the checkout",
        "-e=../..",
    ],
)
def test_a_server_that_needs_nemo_gym_alone_needs_nothing(tmp_path: Path, line: str) -> None:
    assert requirements_text(tmp_path, requirements_txt=f"{line}\n# that is all\n") == ""


def test_other_lines_stay_as_they_are(tmp_path: Path) -> None:
    text = "-e nemo-gym[dev] @ ../../\nnumpy==2.2.6\n--extra-index-url https://x/simple\nnemo-skills @ git+https://x"
    expected = "numpy==2.2.6\n--extra-index-url https://x/simple\nnemo-skills @ git+https://x\n"
    assert requirements_text(tmp_path, requirements_txt=text) == expected


def test_a_project_file_loses_nemo_gym_and_keeps_its_sources(tmp_path: Path) -> None:
    text = requirements_text(
        tmp_path,
        pyproject_toml='[project]\nname = "m"\nversion = "0"\ndependencies = [\n    "nemo-gym[dev]",\n    "six",\n]\n'
        '[tool.uv.sources]\nnemo-gym = { path = "../..", editable = true }\nsix = { git = "https://x" }\n'
        '[tool.uv]\noverride-dependencies = ["six==1.15.0"]\n',
    )
    data = tomllib.loads(text)
    assert data["tool"]["uv"]["override-dependencies"] == ["six==1.15.0"]
    assert data["project"]["dependencies"] == ["six"]
    assert list(data["tool"]["uv"]["sources"]) == ["six"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements_txt", "-e nemo-gym[dev,sandbox] @ ../../"),
        ("requirements_txt", "-e ../../[sandbox]"),
        ("requirements_txt", "nemo-gym[ sandbox ]"),
        ("requirements_txt", "-e nemo_gym[all] @ ../.."),
        ("pyproject_toml", '[project]\nname = "m"\nversion = "0"\ndependencies = ["nemo-gym[sandbox]"]\n'),
    ],
)
def test_packages_of_nemo_gyms_extras_are_installed(tmp_path: Path, name: str, text: str) -> None:
    lines = requirements_text(tmp_path, **{name: text}).splitlines()
    assert lines == ["opensandbox>=0.1.15", 'e2b<3,>=2; python_version < "4"']


def test_extras_and_overrides_are_files_of_their_own(tmp_path: Path) -> None:
    printed = arguments(
        tmp_path, requirements_txt="-e nemo-gym[sandbox] @ ../../\nsix\n", overrides_txt="six==1.15.0\n"
    )
    assert printed[::2] == ["--requirements", "--requirements", "--override"]
    texts = [Path(path).read_text() for path in printed[1::2]]
    assert texts[0] == "six\n"
    assert texts[1].startswith("opensandbox")
    assert texts[2] == "six==1.15.0\n"


@pytest.mark.parametrize("line", ["# nemo-gym[sandbox] is not needed", "-e nemo-gym[unknown] @ ../../", "-e ../../"])
def test_extras_that_nobody_asks_for_are_not_installed(tmp_path: Path, line: str) -> None:
    assert requirements_text(tmp_path, requirements_txt=f"{line}\n") == ""


def test_paths_of_packages_lead_from_the_servers_folder(tmp_path: Path) -> None:
    lines = ["-e ./shell[pcre]", "-e ../../benchmarks/automation", "-r ../other.txt", "./wheel.whl", "x @ ../x", "six"]
    folder = tmp_path / "resources_servers" / "mine"
    assert requirements_text(tmp_path, requirements_txt="\n".join(lines)).splitlines() == [
        f"-e {folder}/./shell[pcre]",
        f"-e {folder}/../../benchmarks/automation",
        f"-r {folder}/../other.txt",
        f"{folder}/./wheel.whl",
        f"x @ {folder}/../x",
        "six",
    ]


def test_a_server_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "kind" / "other").mkdir(parents=True)
    (tmp_path / "kind" / "other" / "app.py").touch()
    command = [sys.executable, str(PROGRAM), str(tmp_path / "kind" / "mine"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no kind/mine in this NeMo Gym; available: other" in done.stderr


PRINT_ARGUMENTS = "import runpy, sys; print(runpy.run_path(sys.argv[1])['main'](sys.argv[2], (3, 13, 5)))"


@pytest.mark.parametrize(
    ("required", "printed"),
    [("3.13.14", "--python-version 3.13.14"), ("3.13.5", ""), ("3.13", ""), ("3.12", ""), ("3.14.1", "")],
)
def test_an_older_patch_release_of_python_is_used_with_a_note(required: str, printed: str) -> None:
    program = PROGRAM.parent / "python_version.py"
    command = [sys.executable, "-c", PRINT_ARGUMENTS, str(program), required]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed
    note = "note: this NeMo Gym requires Python 3.13.14; it is installed on the 3.13.5"
    assert (note in done.stderr) == bool(printed)


def test_builds_know_the_oldest_python_of_the_release() -> None:
    versions = ("0.4.0", "0.6.0", "0.7.0")
    assert [GymSource(version).least_python for version in versions] == ["3.12", "3.13.14", "3.13.14"]


def test_ray_is_not_connected_and_counts_nothing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    usage = types.SimpleNamespace(put_pre_init_usage_stats=lambda: calls.append("counted"))
    for name in ("ray", "ray._common", "ray._common.usage"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["ray._common.usage"], "usage_lib", usage, raising=False)
    source = (assets.folder("dockerfiles") / "nemo-gym" / "gymctl_ray.py").read_text()
    module = types.ModuleType("gymctl_ray")
    exec(compile(source, "gymctl_ray.py", "exec"), module.__dict__)
    assert module.ClientBuilder("x")._init_args(ignore_reinit_error=True).connect() is None
    usage.put_pre_init_usage_stats()
    assert calls == []
    usage.put_pre_init_usage_stats()
    assert calls == ["counted"]
