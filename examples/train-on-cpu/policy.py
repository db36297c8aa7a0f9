"""The policy: a language model of a million parameters with a vocabulary of words, made on the spot.

``Policy`` is the network, ``Tokenizer`` its vocabulary and chat template. ``Endpoint`` serves it as vLLM serves a
model: Chat Completions with token ids, log probabilities and the version of its weights.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from aiohttp import web
from torch import Tensor, nn
from torch.nn import functional

LONGEST = 128  # tokens of a conversation
MOST_NEW = 4  # tokens of an answer
PAD, USER, ASSISTANT, TOOL, CALL, END, UNKNOWN = range(7)
SPECIAL = ["<pad>", "<user>", "<assistant>", "<tool>", "<call>", "<end>", "<unknown>"]
FIELDS = {"warm": "temperature_celsius", "rain": "chance_of_rain_percent", "sky": "sky"}  # by a word of the question
_WORD = re.compile(r"[a-z_]+|\d+")


class Tokenizer:
    """One token a word. ``texts`` are all texts whose words the model should know; numbers up to 100 it knows."""

    def __init__(self, texts: Iterable[str]) -> None:
        words = dict.fromkeys(word for text in texts for word in _WORD.findall(text.lower()) if not word.isdigit())
        self.words = [*SPECIAL, *map(str, range(101)), *words]
        self._ids = {word: number for number, word in enumerate(self.words)}

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        return [self._ids.get(word, UNKNOWN) for word in _WORD.findall(text.lower())]

    def text(self, ids: Sequence[int]) -> str:
        """Words of token ids."""
        return " ".join(self.words[number] for number in ids)

    def prompt(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """A conversation up to the answer that is asked for.

        A message that brings its own token ids is not tokenized again: they are the prefix of what follows.
        """
        ids: list[int] = []
        for message in messages:
            if message["role"] == "user":
                ids += [USER, *self.ids(_text(message["content"]))]
            elif message["role"] == "tool":
                ids += [TOOL, *self.ids(_text(message["content"]))]
            elif "generation_token_ids" in message:
                ids = [*message["prompt_token_ids"], *message["generation_token_ids"]]
        return [*ids, ASSISTANT]

    def message(self, ids: Sequence[int], name: str) -> dict[str, Any]:
        """Generated tokens as a message: a tool call where they begin with ``<call>``, else text."""
        words = [number for number in ids if number != END]
        if words[:1] != [CALL]:
            return {"role": "assistant", "content": self.text(words)}
        function = {"name": "get_weather", "arguments": json.dumps({"city": self.text(words[1:])})}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": name, "type": "function", "function": function}],
        }


def _text(content: Any) -> str:
    """Text of a message's content."""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content or ())


class Policy(nn.Module):
    """A transformer of two layers."""

    def __init__(self, vocabulary: int, width: int = 192, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=PAD)
        self.places = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Log probabilities of the next token: ids (B, T), padded on the right, to (B, T, vocabulary)."""
        length = ids.shape[1]
        hidden = self.tokens(ids) + self.places(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        hidden = self.layers(hidden, mask=mask, is_causal=True)
        return functional.log_softmax(self.out(self.norm(hidden)), dim=-1)


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of token ids as (B, T)."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)


@torch.no_grad()
def generate(
    policy: Policy, prompts: Sequence[Sequence[int]], most: int = MOST_NEW
) -> list[tuple[list[int], list[float]]]:
    """For each prompt, sampled token ids up to ``<end>``, at most ``most``, and their log probabilities."""
    answers: list[tuple[list[int], list[float]]] = [([], []) for _ in prompts]
    running = list(range(len(prompts)))
    for _ in range(most):
        rows = [[*prompts[number], *answers[number][0]] for number in running]
        last = torch.tensor([len(row) - 1 for row in rows])
        scores = policy(padded(rows))[torch.arange(len(rows)), last]
        chosen = torch.multinomial(scores.exp(), 1).squeeze(1)
        for place, number in enumerate(running):
            answers[number][0].append(int(chosen[place]))
            answers[number][1].append(float(scores[place, chosen[place]]))
        running = [number for number in running if answers[number][0][-1] != END]
        if not running:
            break
    return answers


def field_of(task: Mapping[str, Any]) -> str:
    """The field of a report that a task asks for."""
    question = task["responses_create_params"]["input"][-1]["content"]
    return next(field for word, field in FIELDS.items() if word in question)


def teach_the_form(policy: Policy, tokenizer: Tokenizer, tasks: Sequence[Mapping[str, Any]], steps: int = 240) -> None:
    """Teach how to call and to answer, and not what: the city and the answer are mostly guesses afterwards."""
    optimizer = torch.optim.AdamW(policy.parameters(), 1e-3)
    cities = sorted({task["cities"][0] for task in tasks})
    reports = {city: [task["expected_answer"] for task in tasks if task["cities"] == [city]] for city in cities}
    fields = list(FIELDS.values())
    for _ in range(steps):
        rows, masks = [], []
        for task in random.choices(tasks, k=32):
            asked = task["cities"][0] if random.random() < 0.15 else random.choice(cities)
            report = " ".join(f"{field} {value}" for field, value in zip(fields, reports[asked], strict=True))
            question = tokenizer.ids(task["responses_create_params"]["input"][-1]["content"])
            call = [CALL, *tokenizer.ids(asked), END]
            place = fields.index(field_of(task)) if random.random() < 0.2 else random.randrange(3)
            answer = [*tokenizer.ids(reports[asked][place]), END]
            observed = [TOOL, *tokenizer.ids(f"city {asked} {report}"), ASSISTANT]
            rows.append([USER, *question, ASSISTANT, *call, *observed, *answer])
            masks.append([0.0] * (len(question) + 2) + [1.0] * len(call) + [0.0] * len(observed) + [1.0] * len(answer))
        ids = padded(rows)
        mask = torch.nn.utils.rnn.pad_sequence([torch.tensor(mask) for mask in masks], batch_first=True)[:, 1:]
        scores = policy(ids)[:, :-1].gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2)
        optimizer.zero_grad()
        (-(scores * mask).sum() / mask.sum()).backward()
        optimizer.step()


class Endpoint:
    """Serves a policy at a port of its own; calls that arrive together are answered together."""

    def __init__(self, policy: Policy, tokenizer: Tokenizer) -> None:
        self.policy = policy
        self.tokenizer = tokenizer
        self.version = 0
        self.url = ""
        self._waiting: list[tuple[list[int], asyncio.Future[tuple[list[int], list[float]]]]] = []
        self._arrived = asyncio.Event()

    async def start(self) -> None:
        """Listen, and answer from now on."""
        application = web.Application()
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        self._batches = asyncio.create_task(self._answer())

    async def stop(self) -> None:
        """Stop listening."""
        self._batches.cancel()
        await self._runner.cleanup()

    async def _answer(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(0.02)  # collect requests that arrive at the same time
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            answers = await asyncio.to_thread(generate, self.policy, [prompt for prompt, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.Response:
        prompt = self.tokenizer.prompt((await request.json())["messages"])
        if len(prompt) + MOST_NEW > LONGEST:
            text = f"This model's maximum context length is {LONGEST} tokens. However, your prompt has {len(prompt)}."
            error = {"message": text, "type": "BadRequestError", "code": "context_length_exceeded"}
            return web.json_response({"error": error}, status=400)
        future: asyncio.Future[tuple[list[int], list[float]]] = asyncio.get_running_loop().create_future()
        self._waiting.append((prompt, future))
        self._arrived.set()
        version = self.version
        ids, scores = await future
        message = self.tokenizer.message(ids, f"call_{id(future)}")
        finish = "length" if ids[-1] != END else "tool_calls" if message.get("tool_calls") else "stop"
        tokens = [{"token": f"token_id:{number}", "logprob": score} for number, score in zip(ids, scores, strict=True)]
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(ids), "total_tokens": len(prompt) + len(ids)}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": finish,
            "logprobs": {"content": tokens},
            "token_ids": ids,
        }
        return web.json_response(
            {
                "id": f"chatcmpl-{id(future)}",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": [choice],
                "usage": usage,
                "prompt_token_ids": prompt,
                "metadata": {"weight_version": str(version)},
            }
        )
