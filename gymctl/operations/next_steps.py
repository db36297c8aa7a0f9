"""The commands that are of use after ``up``, written so that they work where they are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config import Config, ServerInstance, ServerKind
from gymctl.engines.state import StackState

_ROWS = "rows.jsonl"


def next_commands(config: Config, state: StackState) -> list[str]:
    """Commands for a stack that is up: its status, a collection from rows that exist, its logs, its end."""
    commands = ["gymctl status"]
    if state.takes_workers:
        commands.append("gymctl up WORKER.yaml --role worker --token-file COPY_OF/.gymctl/head-token")
    if config.agent_names:
        commands.append(_collect_command(config))
    return [*commands, "gymctl logs -f", "gymctl down"]


def _collect_command(config: Config) -> str:
    """Collect from the rows next to the configuration, else from a data set in it."""
    for rows, agent in (*_rows_next_to_files(config), *_datasets(config)):
        place = _find(rows, config)
        if place is not None:
            if _names_agent(place):
                agent_option = ""
            else:
                agent_option = f" --agent {agent}"
            return f"gymctl collect --input {rows} --output rollouts.jsonl{agent_option}"
    return f"gymctl collect --input YOUR_ROWS.jsonl --output rollouts.jsonl --agent {config.agent_names[0]}"


def _datasets(config: Config) -> Iterator[tuple[str, str]]:
    """Path and agent of each data set of the configuration, examples first: they are small and bundled."""
    listed: list[tuple[str, str]] = []
    for server in config.servers.values():
        agent = _agent_of(server, config)
        for dataset in server.fields.get("datasets") or ():
            if isinstance(dataset, dict):
                path = dataset.get("jsonl_fpath")
            else:
                path = None
            if isinstance(path, str) and agent:
                listed.append((path, agent))
    return iter(sorted(listed, key=lambda pair: "example" not in Path(pair[0]).name))


def _agent_of(server: ServerInstance, config: Config) -> str | None:
    """The server itself when it is an agent, else an agent that calls it."""
    if server.kind is ServerKind.AGENT:
        return server.name
    for name in config.agent_names:
        if any(reference.name == server.name for reference in config.servers[name].references):
            return name
    return None


def _rows_next_to_files(config: Config) -> Iterator[tuple[str, str]]:
    """``rows.jsonl`` in a directory that was named, or next to a file that was."""
    for argument in config.source.arguments:
        for folder in (Path(argument), Path(argument).parent):
            yield str(folder / _ROWS), config.agent_names[0]


def _find(rows: str, config: Config) -> Path | None:
    """The file that ``collect`` reads for this path; None when there is none."""
    bundled = assets.example(rows) or assets.folder("services") / rows
    for place in (config.source.directory / rows, bundled):
        if place.is_file():
            return place
    return None


def _names_agent(rows: Path) -> bool:
    """Whether the first row names its agent."""
    try:
        with rows.open(encoding="utf-8") as file:
            row: Any = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(row, dict) and bool(row.get("agent_ref"))
