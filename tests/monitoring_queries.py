"""Every query of a panel and every selection of an alert, for tests that ask a Prometheus for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from gymctl import assets

# A query of an alert selects series that appear with the first event of a kind.
_EVENTS = ('code=~"5.."', 'code="429"', 'le="')


def panels() -> Iterator[tuple[str, str]]:
    """Each panel's title with each of its queries."""
    dashboard = json.loads((assets.folder("templates") / "observability" / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def selectors() -> Iterator[tuple[str, str]]:
    """Each alert's name with each selection of series in it."""
    rules = yaml.safe_load((assets.folder("templates") / "observability" / "alerts.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            for name, labels in re.findall(r"\b((?:gymctl_|up\b|process_)\w*)(\{[^}]*\})?", rule["expr"]):
                if not any(event in labels for event in _EVENTS):
                    yield rule.get("alert") or rule["record"], name + labels
