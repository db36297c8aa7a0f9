"""Exports load in the loaders of those who read them, and chat templates render every answer once.

Needs the packages ``datasets``, ``transformers`` and ``trl``; none of them needs a GPU or the network here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from data_folder import DataFolder, read_lines
from run_files import TOOL, answer, call, message, result, thought, tokens, write_run

pytestmark = pytest.mark.slow

REASON = "pip install datasets transformers trl"
OTHER_TOOL = {
    "type": "function",
    "name": "add",
    "description": "Add.",
    "strict": None,
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}
TEXT_ARGUMENTS = {"deepseekv3"}  # its template takes the arguments of calls as text
FAMILIES = ["qwen3", "llama3_2", "gptoss", "qwen2_5", "deepseekv3"]


def turn(task: int, repeat: int) -> str:
    """An answer that no other rollout has."""
    return f"The-answer-of-{task}-{repeat}"


@pytest.fixture
def run(data_folder: DataFolder) -> DataFolder:
    """A run with two environments, tools of different parameters, reasoning, and rewards that differ."""
    looked_up = [thought("Hm."), call('{"city": "Rome"}'), answer("sunny")]
    added = [{**call('{"a": 1, "b": 2}', "c2"), "name": "add"}, answer("3", "c2")]
    results = []
    for task, (tool, steps) in enumerate(((TOOL, looked_up), (OTHER_TOOL, added), (None, []))):
        for repeat in (0, 1):
            output = [*steps, message(turn(task, repeat), **tokens([1, 2, task], [3, repeat], [-0.1, -0.2]))]
            params = {"tools": [tool]} if tool else {}
            results.append(result(task, repeat, float(repeat), output, params))
    write_run(data_folder.path, results)
    return data_folder


def export(folder: DataFolder, target: str, kind: str, name: str, *options: str) -> str:
    """The path of an export."""
    code, _, err = folder.gymctl("export", "rollouts.jsonl", "--to", target, "--kind", kind, "-o", name, *options)
    assert code == 0, err
    return str(folder.path / name)


def loaded(path: str) -> Any:
    """The data set as the ``datasets`` package reads it."""
    datasets = pytest.importorskip("datasets", reason=REASON)
    if not hasattr(datasets, "load_dataset"):
        pytest.skip(REASON)  # without the package, the name is this folder's
    builder = "parquet" if path.endswith("parquet") else "json"
    cache = str(Path(path).parent / "cache")
    return datasets.load_dataset(builder, data_files=path, split="train", cache_dir=cache)


def tokenizer(family: str) -> Any:
    """A tokenizer of words with the chat template of a family of models."""
    transformers = pytest.importorskip("transformers", reason=REASON)
    tokenizers = pytest.importorskip("tokenizers", reason=REASON)
    trl = pytest.importorskip("trl", reason=REASON)
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "?"}
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)
    template = Path(trl.__file__).parent / "chat_templates" / f"{family}.jinja"
    if not template.is_file():
        pytest.skip(f"this trl has no template of {family}")
    made.chat_template = template.read_text()
    return made


@pytest.mark.parametrize(
    ("target", "kind", "name"),
    [
        ("nemo-rl", "sft", "out.jsonl"),
        ("nemo-rl", "dpo", "out.jsonl"),
        ("nemo-rl", "tokens", "out.jsonl"),
        ("trl", "sft", "out.jsonl"),
        ("trl", "dpo", "out.jsonl"),
        ("trl", "kto", "out.jsonl"),
        ("trl", "grpo", "out.jsonl"),
        ("trl", "tokens", "out.parquet"),
        ("verl", "sft", "out.parquet"),
        ("verl", "grpo", "out.parquet"),
        ("openai", "sft", "out.jsonl"),
    ],
)
def test_datasets_loads_every_form(target: str, kind: str, name: str, run: DataFolder) -> None:
    rows = loaded(export(run, target, kind, name))
    assert len(rows) == (3 if kind in ("dpo", "grpo") else 6)
    assert all(value is not None for column in ("messages", "prompt", "reward") for value in rows[:].get(column, []))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", ["nemo-rl", "trl", "verl"])
def test_templates_render_every_answer_once(family: str, target: str, run: DataFolder) -> None:
    name = "out.parquet" if target == "verl" else "out.jsonl"
    template = tokenizer(family)
    texts = []
    options = ["--tool-arguments", "text"] if family in TEXT_ARGUMENTS else []
    for row in loaded(export(run, target, "sft", name, *options)):
        tools = json.loads(row["tools"]) if isinstance(row["tools"], str) else row["tools"]
        messages = [{key: value for key, value in item.items() if value is not None} for item in row["messages"]]
        for item in messages:  # verl parses the arguments before it applies the template
            for one in item.get("tool_calls") or ():
                if isinstance(one["function"]["arguments"], str) and not options:
                    one["function"]["arguments"] = json.loads(one["function"]["arguments"])
        texts.append(template.apply_chat_template(messages, tools=tools or None, tokenize=False))
    for index, text in enumerate(texts):
        assert text.count(turn(index // 2, index % 2)) == 1
        assert text.count(f"Question {index // 2}?") == 1
    assert all(text.count("Rome") == 1 for text in texts[:2])


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto", "grpo"])
@pytest.mark.parametrize("family", FAMILIES[:3])
def test_trl_applies_its_template(kind: str, family: str, run: DataFolder) -> None:
    data_utils = pytest.importorskip("trl.data_utils", reason=REASON)
    template = tokenizer(family)
    for row in loaded(export(run, "trl", kind, "out.jsonl")):
        assert data_utils.is_conversational(row)
        row["tools"] = row.get("tools") or None
        text = data_utils.apply_chat_template(row, template, tools=row["tools"])
        assert all(isinstance(value, str) for key, value in text.items() if key in ("text", "prompt", "chosen"))


def test_openai_takes_the_messages(run: DataFolder) -> None:
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
    from pydantic import TypeAdapter

    adapter = TypeAdapter(list[ChatCompletionMessageParam])
    tools = TypeAdapter(list[ChatCompletionToolParam])
    for row in read_lines(Path(export(run, "openai", "sft", "out.jsonl"))):
        adapter.validate_python(row["messages"])
        tools.validate_python(row.get("tools", []))
