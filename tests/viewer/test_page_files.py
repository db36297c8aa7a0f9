"""The files of the page: small, from known places, and nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from gymctl import assets
from gymctl.viewer.page_files import page_files

VENDOR = assets.viewer_files() / "vendor"
ROW = re.compile(r"^\| `([\w.-]+)` \|.*\((\S+)\) \| `([0-9a-f]{64})` \|$", re.MULTILINE)
OUR_FILES = sorted(path for path in assets.viewer_files().glob("*.*") if path.suffix in (".js", ".css", ".html"))


def test_vendored_files_are_unchanged_and_have_a_licence() -> None:
    listed = {name: (licence, digest) for name, licence, digest in ROW.findall((VENDOR / "README.md").read_text())}
    present = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert set(listed) == present
    for name, (licence, digest) in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert "opyright" in (VENDOR / licence).read_text()


def test_vendored_files_are_small() -> None:
    assert sum(path.stat().st_size for path in VENDOR.iterdir() if path.suffix in (".js", ".css")) < 100_000


def test_no_file_names_another_origin() -> None:
    for path in OUR_FILES:
        addresses = re.findall(r"https?://[^\s'\"]+|//[\w-]+\.[\w.]+", path.read_text())
        assert [address for address in addresses if "www.w3.org" not in address] == [], path.name


def test_nothing_is_made_of_text_but_text() -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|unsafeHTML|\beval\(|new Function|style=\""
    for path in OUR_FILES:
        assert not re.findall(ways, path.read_text()), path.name


def test_every_import_exists() -> None:
    files = page_files()
    for path in OUR_FILES:
        for name in re.findall(r"""(?:from|import\() ?'\./([\w./-]+)'""", path.read_text()):
            assert name in files, (path.name, name)


def test_the_wheel_has_them() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'packages = ["gymctl"]' in text  # hatch takes every file below that git does not ignore


def test_every_preloaded_module_exists_and_is_imported() -> None:
    preloaded = re.findall(
        r'rel="modulepreload" href="/static/([\w./-]+)"', page_files()["index.html"].content.decode()
    )
    imported = {"app.js"}
    for path in OUR_FILES:
        imported.update(re.findall(r"from '\./([\w./-]+)'", path.read_text()))
    assert set(preloaded) <= imported
    assert set(preloaded) <= set(page_files())
