"""What the tests of the command line share: a small configuration, how a command ended, what a folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"

GOOD = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py}
weather:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, domain: agent}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: weather}
      model_server: {type: responses_api_models, name: policy_model}
"""


@dataclass(frozen=True)
class CommandResult:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


class Gymctl(Protocol):
    """Runs the command line in this process, in the current directory; paths and numbers are arguments too."""

    def __call__(self, *arguments: object) -> CommandResult: ...


def contents(folder: Path) -> dict[str, bytes]:
    """Every file and folder below, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }
