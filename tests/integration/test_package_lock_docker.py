"""What a build does when the package index has other files than the lock lists, or lacks a locked version."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from gymctl import assets
from gymctl.engines.build.certificates import find_ca_bundle
from gymctl.engines.build.command import Build, build_command, build_proxies
from gymctl.engines.build.context import stage
from gymctl.engines.build.images import _failure
from gymctl.engines.build.package_lock import MISMATCH_HINT
from gymctl.engines.runner import Completed, run
from gymctl.stack import ImagePlan

pytestmark = pytest.mark.docker

TAG = "gymctl-test-package-lock:1"
PACKAGE = "msgspec"
ENTRY = re.compile(rf"^{PACKAGE}==(\S+)((?:.*\\\n)+.*\n)", re.MULTILINE)


def build(context: Path, mode: str) -> Completed:
    base = os.environ.get("GYMCTL_BASE_IMAGE") or None
    dockerfile = assets.folder("dockerfiles") / "server.Dockerfile"
    how = Build(dockerfile, base, target="packages", arguments={"PACKAGE_LOCK": mode})
    bundle = find_ca_bundle(None, os.environ)
    command = build_command((TAG,), context, how, bundle, proxies=build_proxies(os.environ))
    return run(command, check=False, timeout=300)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    target = tmp_path / "context"
    target.mkdir()
    stage(target, None, (), lambda _: None)
    return target


def edit(context: Path, version: str, first_digits: str) -> None:
    lock = context / "server.lock.txt"
    entry = ENTRY.search(lock.read_text())
    assert entry is not None
    hashes = re.sub(r"sha256:[0-9a-f]{8}", f"sha256:{first_digits}", entry[2])
    changed = f"{PACKAGE}=={version or entry[1]}{hashes}"
    lock.write_text(lock.read_text().replace(entry[0], changed))


def test_a_file_with_another_hash_stops_the_build_with_a_hint(context: Path) -> None:
    edit(context, "", "00000000")
    done = build(context, "auto")
    assert done.code != 0
    assert "installed without hashes" not in done.stderr
    failure = _failure(ImagePlan(tag=TAG), done.stderr.splitlines(), None)
    assert failure.hint == MISMATCH_HINT
    assert any(PACKAGE in line for line in failure.lines)


def test_a_missing_version_is_noted_unless_the_lock_is_required(context: Path) -> None:
    edit(context, f"99.0.{time.time_ns()}", "00000000")  # never built before: a step that Docker kept prints nothing
    done = build(context, "auto")
    run(["docker", "image", "rm", TAG], check=False, timeout=60)
    assert done.code == 0, done.stderr
    note = (
        f"note: the packages of server.requirements.txt are installed without hashes: the package index lacks {PACKAGE}"
    )
    assert note in done.stderr
    assert build(context, "required").code != 0
