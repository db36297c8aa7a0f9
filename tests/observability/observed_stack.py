"""What the observed stacks of tests share: a model with one answer, servers with code of their own, and the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FIXED_MODEL = """\
from gymctl.server import ModelServer

class Fixed(ModelServer):
    async def responses(self, params, session):
        content = [{"type": "output_text", "text": "yes", "annotations": []}]
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
        return {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [message],
                "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed"}

if __name__ == "__main__":
    Fixed.serve()
"""

COMMAND = (sys.executable, "-c", "from gymctl.cli.entry import main; main()")


def write_servers(folder: Path, code: Mapping[str, str]) -> None:
    """Write the ``app.py`` of each server, by its folder such as ``resources_servers/even``, and the fixed model."""
    for place, text in {**code, "responses_api_models/fixed": FIXED_MODEL}.items():
        (folder / place).mkdir(parents=True)
        (folder / place / "app.py").write_text(text)


def gymctl(folder: Path, *arguments: str) -> str:
    """Run the command line in a folder; it must succeed."""
    done = subprocess.run([*COMMAND, *arguments], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
