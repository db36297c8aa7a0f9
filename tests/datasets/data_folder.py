"""A folder with a configuration, rows, and gymctl run in it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gymctl.cli.main import main

ROW: dict[str, Any] = {"responses_create_params": {"input": "What is 2+2?"}}


@dataclass
class DataFolder:
    """The current directory of the test."""

    path: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def rows(self, name: str, *rows: Any) -> Path:
        """Write JSON lines."""
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def declare(self, *entries: dict[str, Any], server: str = "example_single_tool_call", **more: Any) -> None:
        """Write ``stack.yaml`` with an agent that declares the data sets."""
        agent = {
            "entrypoint": "app.py",
            "resources_server": {"type": "resources_servers", "name": "env"},
            "datasets": [{"license": "MIT", **entry} for entry in entries],
        }
        content = {
            "env": {"resources_servers": {server: {"entrypoint": "app.py", "domain": "agent"}}},
            "agent": {"responses_api_agents": {"simple_agent": agent}},
            **more,
        }
        self.write("stack.yaml", yaml.safe_dump(content, sort_keys=False))

    def gymctl(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        self.monkeypatch.setattr(sys, "argv", ["gymctl", *arguments])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output = self.capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    def prepare(self, *options: str) -> tuple[int, str, str]:
        """``data prepare stack.yaml`` for training, into ``out``."""
        return self.gymctl("data", "prepare", "stack.yaml", "--mode", "train_preparation", "-o", "out", *options)

    def prepared(self, name: str = "train") -> list[dict[str, Any]]:
        """The prepared rows of a type."""
        return read_lines(self.path / "out" / f"{name}.jsonl")

    def files(self) -> set[str]:
        """Paths of all files, hidden ones too."""
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
