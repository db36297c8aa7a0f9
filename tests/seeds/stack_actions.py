"""Do what a row of the table says: evaluate the printed lines with bash, and hand what it would run to gymctl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gymctl import assets
from gymctl.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import seeds_table

Block = dict[str, Any]
"""A block of a document: where it is, its language and text, and its ``rows``."""
Row = dict[str, Any]
"""What is printed in a block, and what gymctl does with it."""

TABLE = seeds_table.table()
BLOCKS = {f"{block['seed']}:{block['line']}": block for block in TABLE["blocks"]}
CASES = [
    pytest.param(block, row, id=f"{block['seed']}-{block['line']}-{number}")
    for block in TABLE["blocks"]
    for number, row in enumerate(block["rows"], 1)
]
# What the documents run. Each is recorded with its arguments, none is started.
COMMANDS = (
    "ng_run ng_dump_config ng_collect_rollouts ng_status ng_prepare_data nemo_rl_train "
    "curl docker sudo uv source hf vllm git pip cd bash jq"
).split()
SERVICES = assets.folder("services")
_PLACEHOLDER = re.compile(r"<(\w+)>")


def recorded(script: str, folder: Path) -> list[list[str]]:
    """The commands that ``script`` would run in ``folder``, in order, each with its arguments."""
    tools, record = folder / "tools", folder / "record"
    tools.mkdir(exist_ok=True)
    for tool in ("cat", "grep", "sort", "uniq"):
        (tools / tool).unlink(missing_ok=True)
        (tools / tool).symlink_to(str(shutil.which(tool)))
    shims = "".join(f'{name}() {{ printf "%s\\0" $# {name} "$@" >> "$RECORD"; }}\n' for name in COMMANDS)
    record.write_text("")
    environ = {"PATH": str(tools), "RECORD": str(record)}
    command = [str(shutil.which("bash")), "-c", shims + _PLACEHOLDER.sub(r"\1", script)]
    done = subprocess.run(command, cwd=folder, env=environ, check=False, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    words, calls = record.read_text().split("\0")[:-1], []
    while words:
        count = int(words[0]) + 2
        calls.append(words[1:count])
        words = words[count:]
    return calls


def commands_of(block: Block, folder: Path, before: str = "") -> list[list[str]]:
    """What a block of commands runs; redirections find the folders they name."""
    scratch = folder / "scratch"
    for name in ("results", "data"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    text = block["text"].replace("/tmp/", "") if block["language"] in ("bash", "inline") else ""
    return recorded(f"{before}\n{text}", scratch)


def command_of(block: Block, row: Row, folder: Path) -> list[str]:
    """The command of one row: the one that it says itself, else the block's at the row's place."""
    before = row.get("set", "")
    if "file" in row and "run" not in row:
        return ["ng_run", f"+config_paths=[{row['file']}]"]
    if extra := row.get("run") or row.get("append"):
        return commands_of({**block, "text": f"{block['text']}{extra}\n"} if block["language"] == "bash" else
                           {**block, "language": "bash", "text": extra}, folder, before)[-1]  # fmt: skip
    ours = [item for item in block["rows"] if item["printed"].split()[0] in COMMANDS]
    place = next(index for index, item in enumerate(ours) if item["printed"] == row["printed"]
                 and item.get("case") == row.get("case"))  # fmt: skip
    return commands_of(block, folder, before)[place]


def furnish(folder: Path, files: dict[str, str]) -> None:
    """Put the files there that a row takes for granted."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if content in ("rows", "both"):
            place.write_text(rows(routed=content == "both"))
        else:
            place.write_text(BLOCKS[content]["text"] if content in BLOCKS else TABLE["files"][content])


def rows(*, routed: bool) -> str:
    """The example rows of one environment, or those of both with their agents, as the ``jq`` lines write them."""
    import json

    messages = []
    for name in ("example_single_tool_call", "example_multi_step") if routed else ("example_single_tool_call",):
        for line in (SERVICES / "resources_servers" / name / "data/example.jsonl").read_text().splitlines():
            row = json.loads(line)
            row.pop("agent_ref", None)
            messages.append({**row, "agent_ref": {"name": f"{name}_simple_agent"}} if routed else row)
    return "".join(json.dumps(row) + "\n" for row in messages)


class Gymctl:
    """gymctl in this process, in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self._monkeypatch, self._capfd = folder, monkeypatch, capfd

    def __call__(self, *arguments: str) -> tuple[int, str, list[str]]:
        """Exit code, standard output, lines of standard error."""
        self._monkeypatch.chdir(self.folder)
        self._monkeypatch.setattr(sys, "argv", ["gymctl", *arguments])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capfd.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err.splitlines()


def expected(lines: list[str]) -> list[str]:
    """Messages as they are today: with the names of the bundled servers."""
    names = {kind: ", ".join(sorted(path.parent.name for path in (SERVICES / kind).glob("*/configs")))
             for kind in ("resources_servers", "responses_api_models")}  # fmt: skip
    return [line.replace("{resources_servers}", names["resources_servers"]).replace(
        "{responses_api_models}", names["responses_api_models"]) for line in lines]  # fmt: skip


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``script`` for real, with ``ng_dump_config`` as gymctl's."""
    ours = f'ng_dump_config() {{ {sys.executable} -m gymctl.cli.main ng_dump_config "$@"; }}\n'
    environ = {**os.environ, "PYTHONPATH": str(seeds_table.TOP)}
    return subprocess.run(
        ["bash", "-c", ours + script], cwd=folder, env=environ, check=False, capture_output=True, text=True
    )
