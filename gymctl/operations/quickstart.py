"""Ten rollouts of two bundled environments in this process, with a script as the policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gymctl import assets
from gymctl.config import load_config
from gymctl.errors import InputError
from gymctl.operations.collect import collect_in_process

if TYPE_CHECKING:
    from gymctl.rollouts.events import OnEvent
    from gymctl.rollouts.report import Report


def example_folder() -> Path:
    """The bundled example that ``quickstart`` runs."""
    return assets.folder("examples") / "quickstart"


def quickstart(output: Path, on_event: OnEvent) -> Report:
    """Collect into ``output``, a folder that is created when it does not exist; needs neither Docker nor a key.

    Raises:
        InputError: the folder cannot be created.
    """
    from gymctl.rollouts.spec import RunSpec

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output} cannot be created: {error.strerror}", "choose another with --output") from error
    example = example_folder()
    config = load_config([str(example)], cwd=example, environ={})
    spec = RunSpec(
        input=example / "rows.jsonl",
        output=output / "rollouts.jsonl",
        agents=tuple(config.agent_names),
        force=True,
    )
    return collect_in_process(config, spec, on_event)
