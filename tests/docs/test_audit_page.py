"""docs/audit.md lists the rules of the audit, and says what the default score is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from gymctl.operations.audit import audit_configuration
from gymctl.operations.configuration import load

pytestmark = pytest.mark.unit

VARIABLES = {"GYMCTL_PACKAGE_LOCK": "required", "GYMCTL_BASE_IMAGE": f"registry.test/python@sha256:{'0' * 64}"}
TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_page_lists_the_rules() -> None:
    path = TOP / "scripts" / "audit_page.py"
    spec = importlib.util.spec_from_file_location("audit_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page(PAGE) == PAGE, "run: python scripts/audit_page.py"


def test_the_page_has_the_default_score(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = TOP / "examples" / "quickstart"
    audit = audit_configuration(load("stack.yaml", directory=folder, environ={}), directory=folder)
    assert f"has a score of {audit.score}." in PAGE
    assert f"quickstart: score {audit.score} of 100 ({audit.rules} rules, {len(audit.findings)} with findings)" in PAGE
    first = audit.findings[0].rule
    assert re.search(rf"^{first.severity} +{first.id}: {re.escape(first.title)}$", PAGE, re.MULTILINE)


def test_the_page_has_the_scores_with_tokens_and_locked_images(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = TOP / "examples" / "quickstart"
    config = load("stack.yaml", "+tokens=true", directory=folder, environ={})
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with_tokens = audit_configuration(config, directory=folder)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    locked = audit_configuration(config, directory=folder)
    assert f"it is {with_tokens.score}, and {locked.score} if" in PAGE
    assert [finding.rule.id for finding in locked.findings] == ["head-egress"]
