"""Make a language model of 0.3 million parameters that can do one thing: ask for the weather, then say it.

It learns the bundled rows of ``example_single_tool_call`` by heart, in well under a minute, with a tokenizer and a
chat template of its own: a real model in a real format (Qwen2), to which vLLM gives real tokens and log-probs. It runs
in the image of vLLM, which has torch and transformers:

    python tiny_model.py ROWS.jsonl FOLDER
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CALL = ["<tool_call>", "</tool_call>"]  # single tokens, as in Qwen's models: vLLM's parser `hermes` looks for them
STEPS, GOOD_ENOUGH = 600, 0.01

TEMPLATE = r"""
{%- macro said(role, text) %}{{ '<|im_start|>' + role + '\n' + text }}{% endmacro %}
{%- set end = '<|im_end|>\n' %}
{%- if tools %}{{ said('tools', tools | map(attribute='function.name') | join(' ')) + end }}{% endif %}
{%- for message in messages %}
{{- said(message.role, message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson + '}\n</tool_call>' }}
{%- endfor %}
{{- end }}
{%- endfor %}
{%- if add_generation_prompt %}{{ said('assistant', '') }}{% endif %}"""

CITIES = {"Lisbon": "Lisbon", "Utrecht": "Utrecht", "Marrakesh": "Oslo", "Buenos": "Buenos Aires"}  # a word -> the city


Messages = list[dict[str, Any]]
Lesson = tuple[Messages, list[dict[str, Any]], dict[str, Any]]
"""What was said, the tools, and the right answer."""


def lessons(rows: Iterable[dict[str, Any]]) -> Iterator[Lesson]:
    """What was said, the tools, and the right answer."""
    for row in rows:
        params = row["responses_create_params"]
        tools = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["parameters"]}}
            for tool in params["tools"]
        ]
        asked = params["input"]
        city = next((city for word, city in CITIES.items() if word in asked[-1]["content"]), None)
        if city is None:
            yield asked, tools, {"role": "assistant", "content": "Which city are you in?"}
            continue
        function = {"name": "get_weather", "arguments": {"city": city}}
        call = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
        prompt = json.dumps(
            {"city": city, "weather_description": f"It is mild and dry in {city}."}, separators=(",", ":")
        )
        yield asked, tools, call
        answer = {"role": "assistant", "content": f"It is mild and dry in {city} today."}
        yield [*asked, call, {"role": "tool", "content": prompt}], tools, answer


def made_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few hundred tokens, and the chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(CALL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


def as_tensors(
    pupils: Sequence[Lesson], tokenizer: PreTrainedTokenizerFast
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, labels (only answers count) and the attention mask, each of (lessons, longest)."""
    pairs = []
    for question, tools, answer in pupils:
        prompt = tokenizer.apply_chat_template(question, tools=tools, add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template([*question, answer], tools=tools, tokenize=False)
        assert whole.startswith(prompt), (prompt, whole)
        pairs.append((tokenizer(prompt)["input_ids"], tokenizer(whole)["input_ids"]))
    longest = max(len(whole) for _, whole in pairs)
    ids = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, (prompt, whole) in enumerate(pairs):
        assert whole[: len(prompt)] == prompt
        ids[row, : len(whole)] = torch.tensor(whole)
        labels[row, len(prompt) : len(whole)] = torch.tensor(whole[len(prompt) :])
    return ids, labels, (ids != tokenizer.pad_token_id).long()


def trained(
    tokenizer: PreTrainedTokenizerFast, ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> Qwen2ForCausalLM:
    """A model that knows its lessons by heart."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Qwen2Config(
        vocab_size=(len(tokenizer) + 63) // 64 * 64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    began = time.monotonic()
    for step in range(STEPS):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0 or loss.item() < GOOD_ENOUGH:
            print(f"step {step}: loss {loss.item():.4f}, {time.monotonic() - began:.0f} s", flush=True)
        if loss.item() < GOOD_ENOUGH:
            return model
    raise SystemExit("it has not learned its lessons")


def main(rows: str, folder: str) -> None:
    """Read the rows, write the model."""
    pupils = list(lessons([json.loads(line) for line in Path(rows).read_text().splitlines()]))
    texts = [json.dumps([question, answer]) for question, _, answer in pupils]
    tokenizer = made_tokenizer([*texts, "system user assistant developer tool tools get_weather"])
    model = trained(tokenizer, *as_tensors(pupils, tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in Path(folder).iterdir():
        path.chmod(0o644)  # weights are written for their owner's eyes only; a container is another user


if __name__ == "__main__":
    main(*sys.argv[1:])
