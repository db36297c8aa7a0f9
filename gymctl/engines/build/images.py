"""Build the images of a stack. What is built already costs a fraction of a second."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl import assets
from gymctl.config.terminal_text import last_lines, plain
from gymctl.engines.build.addons import addon_hint, stage_addon
from gymctl.engines.build.cache import is_built, labels, name_by_content
from gymctl.engines.build.certificates import find_ca_bundle
from gymctl.engines.build.command import Build, build_command, build_proxies
from gymctl.engines.build.context import stage
from gymctl.engines.build.copying import disk_errors, normalize_modes
from gymctl.engines.build.nemo_gym import stage_gym
from gymctl.engines.build.package_lock import MISMATCH_HINT, is_mismatch, package_lock
from gymctl.engines.docker.endpoint import engine_endpoint
from gymctl.engines.runner import CommandFailed, run, stream
from gymctl.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    from gymctl.stack import GymBuild, ImagePlan

_STEP_LENGTH = 90
_STEP = re.compile(r"#(\d+) (\[.*)")
_STEP_END = re.compile(r"#(\d+) (DONE [\d.]+s|CACHED|ERROR: .*)")
# mounts, the wiring of the CA bundle and uv's own settings: not what a step is about
_NOISE = re.compile(r"--mount=\S+ |if \[ -s /run/ca\.crt \]; then .*?; fi; ?|\bUV_\w+=\S+ |--quiet ")
_CLOCK = re.compile(r"^\d+\.\d+ ")
_BUILD_NOTE = re.compile(r"#\d+ [\d.]+ note: (.+)")
_NO_GIT = "a package is installed with Git; use a base image that has it: --base-image {full}"
_NO_COMPILER = "a package is compiled from C; use a base image that has a compiler: --base-image {full}"
# Messages of uv and of builds that it runs -> hints; the images in them have the Python that NeMo Gym requires
_GYM_HINTS = {
    "Git executable not found": _NO_GIT,
    "apt-get: not found": _NO_GIT,
    "Unable to locate package git": _NO_GIT,
    "Unable to fetch some archives": _NO_GIT,
    "does not satisfy Python": "this NeMo Gym needs another Python version: --base-image {slim}",
    "no version of nemo-gym": "set --gym-version to a version of nemo-gym on PyPI",
    "command 'gcc'": _NO_COMPILER,
    "command 'g++'": _NO_COMPILER,
    "command 'cc'": _NO_COMPILER,
    "No such file or directory: 'gcc'": _NO_COMPILER,
    "Rust toolchain": "a package is compiled from Rust; use a base image with cargo",
}
_FAILED_STEP = re.compile(r"^ > (\[.*?\].*?):?$")


_SERVER = assets.folder("dockerfiles") / "server.Dockerfile"


@dataclass(frozen=True)
class BuildEvent:
    """Something happened while an image was built.

    ``kind`` is ``start``, ``step`` (``text``: the step's name), ``note`` (``text``: a sentence for the user) or
    ``done`` (``text``: what was done, when it was no build); ``seconds`` are counted from the image's start.
    """

    image: str
    kind: str
    text: str = ""
    seconds: float = 0.0


OnBuild = Callable[[BuildEvent], None]


class BuildFailed(EngineError):  # noqa: N818 - a fact about an image, like CommandFailed
    """An image could not be built. ``step`` is the failing step, ``lines`` the last it printed."""

    def __init__(self, image: str, step: str, lines: Sequence[str], hint: str) -> None:
        self.image = image
        self.step = step
        self.lines = tuple(lines)
        if step:
            where = f" at {step}"
        else:
            where = ""
        output = [f"  | {line}" for line in lines]
        super().__init__("\n".join([f"image {image} cannot be built{where}", *output]), hint, ErrorCode.BUILD_FAILED)

    def __str__(self) -> str:
        """The hint follows the first line, so that it is read before the output."""
        first, *rest = self.message.split("\n")
        return "\n".join([f"{first}; {self.hint}" if self.hint else first, *rest])


def build_images(
    images: Sequence[ImagePlan],
    *,
    directory: Path | None = None,
    base_image: str | None = None,
    ca_bundle: Path | None = None,
    on_event: OnBuild = lambda _: None,
) -> dict[str, str]:
    """Build every image, one after another (they share their first layers).

    ``base_image`` replaces ``python:3.12-slim`` (the variable ``GYMCTL_BASE_IMAGE`` too); ``directory`` is the one
    whose stack the images are for (default: the working directory).

    Returns:
        The name of each image by what is in it, by the tag in its plan. The tag itself names the latest build, for a
        file that ``gymctl render`` wrote; a stack that runs uses only the names.

    Raises:
        BuildFailed: a step of an image failed.
        InputError: the CA bundle or a server's folder does not exist, or a file in it cannot be read.
        EngineError: the build context cannot be written.
    """
    base = base_image or os.environ.get("GYMCTL_BASE_IMAGE") or None
    bundle = find_ca_bundle(ca_bundle, os.environ)
    owner = (directory or Path.cwd()).resolve()
    names: dict[str, str] = {}
    for image in images:
        if image.gym is not None and image.gym.base in names:
            image = replace(image, gym=replace(image.gym, base=names[image.gym.base]))  # noqa: PLW2901 - as planned
        names[image.tag] = _build(image, owner, base, bundle, on_event)
    return names


def _build(image: ImagePlan, owner: Path, base: str | None, bundle: Path | None, on_event: OnBuild) -> str:
    """Build one image unless it is there; its name by what is in it."""
    began = time.monotonic()
    output: list[str] = []

    def report(kind: str, text: str = "") -> None:
        """Pass on an event of this image, with the seconds since its build began."""
        on_event(BuildEvent(image.tag, kind, text, time.monotonic() - began))

    def on_line(line: str) -> None:
        """Keep a line of the output, and report the step that it begins."""
        output.append(plain(line))
        step = _STEP.match(output[-1])
        if step and not _STEP_END.match(output[-1]):
            report("step", _short(step[2]))
        if note := _BUILD_NOTE.match(output[-1]):
            report("note", note[1])

    report("start")
    with disk_errors(), tempfile.TemporaryDirectory(prefix="gymctl-build-") as folder:
        context = Path(folder)
        build = staged_build(image, context, base, lambda note: report("note", note))
        normalize_modes(context)
        digest = build.digest(context)
        name = name_by_content(image.tag, digest)
        try:
            if is_built(name, digest):
                run(["docker", "tag", name, image.tag], timeout=30)
            else:
                command = build_command(
                    (name, image.tag), context, build, bundle, labels(digest, owner), build_proxies(os.environ)
                )
                # the engine's own builder: another has neither its images nor its networks
                builder = {"BUILDX_BUILDER": engine_endpoint(os.environ).context}
                stream(command, on_line, on_error_line=on_line, env=builder)
        except CommandFailed as error:
            raise _failure(image, output, base) from error
    report("done")
    return name


def staged_build(image: ImagePlan, context: Path, base: str | None, on_note: Callable[[str], None]) -> Build:
    """Fill the build context; how to build from it."""
    if image.dockerfile:
        return stage_addon(context, image.dockerfile, base, os.environ)
    if image.gym is not None:
        return _staged_gym(image, image.gym, context, base, on_note)
    stage(context, image.folder, image.requirements, on_note)
    arguments = {"PACKAGE_LOCK": package_lock(os.environ).value}
    if not image.test_requirements:
        return Build(_SERVER, base, arguments=arguments)
    lines = "".join(f"{line}\n" for line in image.test_requirements)
    (context / "test.requirements.txt").write_text(lines, encoding="utf-8")
    return Build(_SERVER, base, target="test", arguments=arguments)


def _staged_gym(
    image: ImagePlan, gym: GymBuild, context: Path, base: str | None, on_note: Callable[[str], None]
) -> Build:
    stage_gym(context, gym, image.folder, on_note)
    dockerfile = assets.folder("dockerfiles") / "nemo-gym.Dockerfile"
    if not gym.base:
        arguments = {"NEMO_GYM_VERSION": gym.source.version, "NEMO_GYM_PYTHON": gym.source.least_python}
        return Build(dockerfile, base or gym.source.base_image, target="base", arguments=arguments)
    return Build(dockerfile, base, arguments={"NEMO_GYM_IMAGE": gym.base, "SERVER": gym.server})


def _short(step: str) -> str:
    """A step's name in one short line."""
    text = _NOISE.sub("", " ".join(step.split()))
    if len(text) <= _STEP_LENGTH:
        return text
    return text[:_STEP_LENGTH] + "..."


def _failure(image: ImagePlan, output: Sequence[str], base: str | None) -> BuildFailed:
    """The failing step and its own output, which BuildKit repeats between two lines of dashes."""
    step = ""
    lines: list[str] = []
    for number, line in enumerate(output):
        if (match := _FAILED_STEP.match(line)) and number and output[number - 1].startswith("----"):
            step = _short(match[1])
            lines = []
        elif step and line.startswith("----"):
            break
        elif step:
            lines.append(_CLOCK.sub("", line))
    reason = next((line for line in reversed(output) if line.startswith("ERROR: ")), "")
    if not lines:
        if reason:
            lines = [reason.removeprefix("ERROR: ")]
        else:
            lines = last_lines("\n".join(output), 5)
    text = "\n".join(lines)
    return BuildFailed(image.tag, step, last_lines(text, 12), _hint(image, step, f"{text}\n{reason}", base))


def _hint(image: ImagePlan, step: str, text: str, base: str | None) -> str:
    if image.dockerfile:
        special = addon_hint(image.dockerfile, f"{step}\n{text}")
    elif is_mismatch(text):
        special = MISMATCH_HINT
    else:
        special = ""
    return special or _common_hint(image, step, text, base)


def _common_hint(image: ImagePlan, step: str, text: str, base: str | None) -> str:
    if "load metadata for" in step:
        name = base or (image.gym.source.base_image if image.gym else "the base image")
        return f"{name} is not on this machine and cannot be pulled; choose another with --base-image NAME"
    if "certificate" in text.lower():
        return "give this network's CA certificates with --ca-bundle FILE"
    if "no space left" in text:
        return "free some space: docker system prune"
    if image.gym is not None:
        slim = image.gym.source.base_image
        hint = next((hint for clue, hint in _GYM_HINTS.items() if clue in text), "")
        return hint.format(slim=slim, full=slim.removesuffix("-slim"))
    if "requirements.txt" in step and image.requirements:
        return f"check the requirements of {image.folder.name if image.folder else image.tag}"
    return ""
