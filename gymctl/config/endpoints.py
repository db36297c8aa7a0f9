"""Checks of a model server's endpoint that need no call: keys and base URLs that cannot be right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath
from gymctl.config.model import ServerInstance
from gymctl.config.vocabulary import ServerKind

_CALLS = re.compile(r"/(chat/completions|completions|responses|embeddings|models)/*$")
_LOOKS_LIKE_A_HOST = re.compile(r"[.:/]|^localhost$")
_NOT_IN_A_KEY = re.compile(r"[\s\x00-\x1f\x7f]")


def check_endpoint(server: ServerInstance, findings: Findings) -> None:
    """See that the keys can be sent in a header, and that each base URL is one."""
    if server.kind is not ServerKind.MODEL:
        return
    for name, value in server.fields.items():
        field = str(name)
        if field.endswith("api_key") and isinstance(value, str) and _NOT_IN_A_KEY.search(value):
            what = "a line break" if "\n" in value or "\r" in value else "a blank"
            hint = "remove it; in YAML put the key in quotes on one line, not in a block that begins with |"
            findings.problem((*server.path, name), f"{server.name}: {field} holds {what}", hint)
        if field.endswith("base_url"):
            for path, url in _urls((*server.path, name), value):
                _check_url(server.name, field, path, url, findings)


def _urls(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                yield (*path, index), item


def _check_url(server: str, field: str, path: KeyPath, url: str, findings: Findings) -> None:
    call = _CALLS.search(url)
    if not url:
        return
    if _NOT_IN_A_KEY.search(url):
        findings.problem(path, f"{server}: {field} holds a blank or a line break", "write the URL on one line")
    elif _LOOKS_LIKE_A_HOST.search(url) and not re.match("https?://", url):
        hint = f"write http://{url} or https://{url}"
        findings.problem(path, f"{server}: {field} is {url!r}, which has no scheme", hint)
    elif call:
        hint = f"end it before that: {url[: call.start()]}"
        findings.problem(path, f"{server}: {field} is the address of one call ({call[1]})", hint)
