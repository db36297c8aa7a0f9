"""The lock files of the servers' packages: versions that the bounds allow, a hash for each, no package index."""

import re

import pytest
from packaging.requirements import Requirement

from gymctl import assets
from gymctl.engines.build.package_lock import LOCKED_NAMES, PackageLock, is_mismatch, package_lock
from gymctl.errors import InputError


def lines(name: str) -> list[str]:
    text = (assets.folder("dockerfiles") / name).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", LOCKED_NAMES)
def test_locked_versions_satisfy_the_bounds(name: str) -> None:
    locked = {}
    for line in lines(f"{name}.lock.txt"):
        package, version = line.split()[0].split("==")
        locked[package] = version
    for line in lines(f"{name}.requirements.txt"):
        bound = Requirement(line)
        assert bound.specifier.contains(locked[bound.name]), line


@pytest.mark.parametrize("name", LOCKED_NAMES)
def test_each_locked_package_has_hashes_and_nothing_else(name: str) -> None:
    pattern = re.compile(r"[a-z0-9-]+==[\w.]+( ; [^:]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    for line in lines(f"{name}.lock.txt"):
        assert pattern.fullmatch(line), line[:100]
        assert "/" not in line


def test_the_lock_is_used_unless_the_environment_says_otherwise() -> None:
    assert package_lock({}) is PackageLock.AUTO
    assert package_lock({"GYMCTL_PACKAGE_LOCK": "off"}) is PackageLock.OFF
    with pytest.raises(InputError, match="expected one of auto, required, off"):
        package_lock({"GYMCTL_PACKAGE_LOCK": "no"})


def test_a_file_that_differs_from_the_lock_is_recognized() -> None:
    assert is_mismatch("Hash mismatch for `msgspec==0.22.0`")
    assert is_mismatch("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.")
    assert not is_mismatch("there is no version of msgspec==99")
