"""Write the list of rules into docs/audit.md, below its heading: ``python scripts/audit_page.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gymctl.config.wording import counted
from gymctl.stack.audit.evaluation import RULES
from gymctl.stack.audit.rule import Rule, Severity

PAGE = Path(__file__).resolve().parents[1] / "docs" / "audit.md"
HEADING = "## Rules"
_LINE = re.compile(r"[a-z_]+: |chmod ")


def page(text: str) -> str:
    """The page with the list that follows from the rules; ``text`` is the page before."""
    introduction = text.partition(f"\n{HEADING}\n")[0]
    return "\n".join([introduction, *_rules()]) + "\n"


def _rules() -> Iterator[str]:
    yield f"{HEADING}\n"
    yield "This list is generated from the code (`python scripts/audit_page.py`). The last column is the number of the"
    yield "corresponding check of docker-bench-security 1.6.0."
    for severity in Severity:
        yield f"\n### {severity.capitalize()}: {counted(severity.points, 'point')}\n"
        yield "| rule | what is wrong | fix | docker-bench |"
        yield "|---|---|---|---|"
        yield from (_row(rule) for rule in RULES if rule.severity is severity)


def _row(rule: Rule) -> str:
    return f"| `{rule.id}` | {rule.title} | {_cell(rule.cure)} | {rule.docker_bench} |"


def _cell(cure: str) -> str:
    """A fix as code if it is a line of YAML or a command, otherwise as text."""
    return f"`{cure}`" if _LINE.match(cure) else cure


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
