"""Evaluation of all rules: findings, most severe first, and the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gymctl.stack.audit.egress_rules import EGRESS_RULES
from gymctl.stack.audit.limit_rules import LIMIT_RULES
from gymctl.stack.audit.network_rules import NETWORK_RULES
from gymctl.stack.audit.privilege_rules import PRIVILEGE_RULES
from gymctl.stack.audit.rule import Evidence, Rule, Severity
from gymctl.stack.audit.secret_rules import SECRET_RULES
from gymctl.stack.audit.subject import AuditedStack

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*PRIVILEGE_RULES, *NETWORK_RULES, *EGRESS_RULES, *SECRET_RULES, *LIMIT_RULES),
        key=lambda rule: list(Severity).index(rule.severity),
    )
)
"""All rules, most severe first."""
BEST_SCORE = 100


@dataclass(frozen=True)
class Finding:
    """A rule that a stack breaks, and where."""

    rule: Rule
    evidence: tuple[Evidence, ...]

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {
            "id": self.rule.id,
            "severity": self.rule.severity.value,
            "title": self.rule.title,
            "fix": self.rule.cure,
            "docker_bench": self.rule.docker_bench or None,
            "evidence": [vars(item) for item in self.evidence],
        }


@dataclass(frozen=True)
class Audit:
    """What an audit of a stack has found."""

    name: str
    findings: tuple[Finding, ...]
    """Most severe first."""
    rules: int
    """How many rules were evaluated."""

    @property
    def score(self) -> int:
        """100 less the points of every broken rule, at least 0."""
        return max(0, BEST_SCORE - sum(finding.rule.severity.points for finding in self.findings))

    def to_json(self) -> dict[str, Any]:
        """The audit as plain data."""
        return {
            "name": self.name,
            "score": self.score,
            "rules": self.rules,
            "findings": [finding.to_json() for finding in self.findings],
        }


def evaluate(stack: AuditedStack) -> Audit:
    """Apply every rule to a stack."""
    evidence = {rule.id: tuple(rule.check(stack)) for rule in RULES}
    findings = tuple(Finding(rule, evidence[rule.id]) for rule in RULES if evidence[rule.id])
    return Audit(name=stack.name, findings=findings, rules=len(RULES))
