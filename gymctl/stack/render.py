"""The last steps in one call: plan to document, document checked, document to text."""

from __future__ import annotations

from collections.abc import Sequence

from gymctl.errors import ConfigError
from gymctl.stack.compose import SECRETS_DIR, compose_document
from gymctl.stack.dump import render_compose
from gymctl.stack.plan import StackPlan
from gymctl.stack.rules import check_document


def render_stack(plan: StackPlan, *, arguments: Sequence[str] = (), secrets_dir: str = SECRETS_DIR) -> str:
    """The text of the plan's ``compose.yaml``; ``arguments`` (what the user gave) go into its header.

    Raises:
        ConfigError: the document breaks the Compose schema or a rule.
    """
    document = compose_document(plan, secrets_dir=secrets_dir)
    problems = check_document(document)
    if problems:
        raise ConfigError(problems)
    return render_compose(document, arguments=arguments)
