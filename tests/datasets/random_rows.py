"""Rows of any content that a data set may have, valid and invalid, the same ones for a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

CONFIG = """
rs: {resources_servers: {example_single_tool_call: {entrypoint: app.py, domain: agent}}}
ag:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: rs}
      model_server: {type: responses_api_models, name: policy_model}
      datasets:
      - {name: a, type: example, jsonl_fpath: a.jsonl, num_repeats: REPEATS}
      - {name: b, type: example, jsonl_fpath: b.jsonl, huggingface_identifier: {repo_id: x/y}}
"""
TEXTS = ("a", "é x", "  two  words ", "\u2028\n\t", "日本", "", "x" * 50, "a b c d", " 1")
TOOLS: tuple[dict[str, Any], ...] = (
    {"type": "function", "name": "t", "parameters": {"type": "object"}, "strict": None},
    {"type": "function", "name": "t", "parameters": None, "strict": True, "description": "d d", "unknown": 1},
    {"type": "web_search"},
    {"type": "function", "name": "t"},
)


class RandomRows:
    """Rows of a seed. A column has numbers, texts or neither, never both: NeMo Gym does not get through that."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kinds = {name: self._random.choice(("number", "text", "other")) for name in "abcdef"}

    def write(self, folder: Path) -> None:
        """Write a configuration ``c.yaml`` and its two data sets."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("a", "b"):
            rows = [json.dumps(self.row(), ensure_ascii=self._chance(0.5)) for _ in range(self._random.randint(0, 40))]
            (folder / f"{name}.jsonl").write_text("".join(f"{row}\n" for row in rows))
        (folder / "c.yaml").write_text(CONFIG.replace("REPEATS", str(self._random.randint(1, 3))))

    def row(self) -> dict[str, Any]:
        """One row."""
        row: dict[str, Any] = {"responses_create_params": self._params()}
        row |= {name: self._value(kind) for name, kind in self._kinds.items() if self._chance(0.6)}
        if self._chance(0.1):
            row["agent_ref"] = {"name": "z"}
        if self._chance(0.05):
            del row["responses_create_params"]
        return row

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _text(self) -> str:
        return self._random.choice(TEXTS)

    def _value(self, kind: str) -> Any:
        number = self._random.random() * 10 ** self._random.randint(-4, 5)
        values: dict[str, tuple[Any, ...]] = {
            "number": (self._random.randint(-5, 5), number, True, None, [1, 2], [number, 3], []),
            "text": (self._text(), None, [self._text(), self._text()], []),
            "other": (None, {"z": 1}, [{"q": 2}], []),
        }
        return self._random.choice(values[kind])

    def _params(self) -> dict[str, Any]:
        choice = self._random.choice
        params: dict[str, Any] = {
            "input": choice((self._text(), [self._item() for _ in range(self._random.randint(0, 4))]))
        }
        options: dict[str, tuple[float, tuple[Any, ...]]] = {
            "temperature": (0.5, (0, 1, 0.5, None, "0.7", True)),
            "tools": (0.4, tuple([choice(TOOLS) for _ in range(count)] for count in range(4))),
            "metadata": (0.2, ({"a": "b c"},)),
            "reasoning": (0.2, ({"effort": "low"},)),
            "max_output_tokens": (0.2, (5, 5.0, "7", 5.5)),
            "tool_choice": (0.1, ("auto", "required", {"type": "function", "name": "t"}, "x")),
            "unknown": (0.05, (1,)),
        }
        params |= {name: choice(values) for name, (share, values) in options.items() if self._chance(share)}
        return params

    def _item(self) -> dict[str, Any]:
        text = self._text()
        message = {"role": self._random.choice(("user", "assistant", "system", "developer")), "content": text}
        others: tuple[dict[str, Any], ...] = (
            {"role": "user", "content": [{"type": "input_text", "text": text}], "type": "message"},
            {"type": "function_call", "name": "t", "call_id": "c", "arguments": "{}", "unknown": 1},
            {"type": "function_call_output", "call_id": "c", "output": text, "status": None},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": text, "more": "one two"}]},
            {
                "role": "assistant",
                "id": "m",
                "type": "message",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
                "status": "completed",
            },
            {"role": "user", "content": text, "name": "n n n", "id": 5},
        )
        return self._random.choice((message, message, message, *others))
