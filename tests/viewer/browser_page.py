"""Chromium for the tests: pages that are driven through ``browser.mjs``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, TypedDict

MODULES_VARIABLE = "GYMCTL_BROWSER_MODULES"
_SCRIPT = Path(__file__).with_name("browser.mjs")


def modules_folder() -> Path:
    """Where playwright-core and axe-core are: the folder that has ``node_modules``."""
    default = Path("~/.cache/gymctl-ci/browser").expanduser()
    return Path(os.environ.get(MODULES_VARIABLE) or default)


def missing_part() -> str:
    """What is missing for browser tests; empty when nothing is."""
    for command in ("node", "chromium"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    for package in ("playwright-core", "axe-core"):
        if not (modules_folder() / "node_modules" / package).is_dir():
            return f"npm's {package} is not in {modules_folder()} (see .ci/browser)"
    return ""


class PageLog(TypedDict):
    """What a page did since it was opened."""

    errors: list[str]
    """Errors and warnings of the console, but for those of networks of this machine that came or went."""
    requests: list[str]
    """Addresses that were requested."""
    dialogs: int


class BrowserError(AssertionError):
    """A call that the browser refused, or that timed out."""


class Browser:
    """A chromium; pages of it have nothing in common, as with two users."""

    def __init__(self) -> None:
        command = ["node", str(_SCRIPT), str(modules_folder()), shutil.which("chromium") or "chromium"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, name: str, **values: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"call": name, **values}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["value"]

    def open(self, **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        return Page(self, self.call("open", options=options))

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class Page:
    """One page, in a context of its own."""

    def __init__(self, browser: Browser, number: int) -> None:
        self._browser = browser
        self._number = number

    def call(self, method: str, *args: Any) -> Any:
        return self._browser.call("page", page=self._number, method=method, args=args)

    def goto(self, address: str) -> None:
        self.call("goto", address)

    def evaluate(self, expression: str) -> Any:
        return self.call("evaluate", expression)

    def wait(self, selector: str) -> None:
        """Wait until something is visible."""
        self.call("waitForSelector", selector)

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        self._browser.call("until", page=self._number, expression=expression)

    def locate(self, selector: str, method: str, *args: Any) -> Any:
        return self._browser.call("locator", page=self._number, selector=selector, method=method, args=args)

    def click(self, selector: str) -> None:
        self.locate(selector, "click")

    def text(self, selector: str) -> str:
        text: str = self.locate(selector, "innerText")
        return text

    def texts(self, selector: str) -> list[str]:
        texts: list[str] = self.locate(selector, "allInnerTexts")
        return texts

    def count(self, selector: str) -> int:
        count: int = self.locate(selector, "count")
        return count

    def press(self, *keys: str) -> None:
        self._browser.call("press", page=self._number, keys=keys)

    @property
    def hash(self) -> str:
        fragment: str = self.evaluate("location.hash")
        return fragment

    @property
    def log(self) -> PageLog:
        """Errors and warnings of the console, addresses that were requested, dialogs."""
        log: PageLog = self._browser.call("log", page=self._number)
        return log

    def axe(self) -> list[str]:
        """What axe-core finds wrong."""
        findings: list[str] = self._browser.call("axe", page=self._number)
        return findings

    def heap(self) -> int:
        """Bytes of JavaScript objects, after a garbage collection."""
        size: int = self._browser.call("heap", page=self._number)
        return size

    def close(self) -> None:
        self._browser.call("close", page=self._number)
