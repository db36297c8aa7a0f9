"""A model that answers as it once did: it finds the conversation among recorded rollouts and writes its next part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import fake_openai

Item = dict[str, Any]
Outline = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Recording:
    """A recorded conversation: how it begins, and what the model wrote in each of its turns."""

    beginning: Outline
    turns: tuple[tuple[Item, ...], ...]


def outline(items: str | list[Item]) -> Outline:
    """Who said what, without ids and other fields that a server may add or leave out."""
    if isinstance(items, str):
        return (("user", items),)
    return tuple((str(item.get("role") or item["type"]), _text(item)) for item in items)


def _text(item: Item) -> str:
    content = item.get("content") or item.get("arguments") or item.get("output") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or part.get("image_url") or "") for part in content)


def is_of_model(item: Item) -> bool:
    if item.get("role") is not None:
        return bool(item["role"] == "assistant")
    return item["type"] in ("reasoning", "function_call")


def turns(output: Iterable[Item]) -> tuple[tuple[Item, ...], ...]:
    """What the model wrote, turn by turn: between them are results of tools and messages of a user."""
    groups: list[list[Item]] = [[]]
    for item in output:
        if is_of_model(item):
            groups[-1].append(item)
        elif groups[-1]:
            groups.append([])
    return tuple(tuple(group) for group in groups if group)


class RecordedModel:
    """Answers from recorded rollouts, or as the scripted endpoint does where no recording fits."""

    def __init__(self, rollouts: Iterable[Item]) -> None:
        self._recordings = [
            Recording(outline(rollout["responses_create_params"]["input"]), turns(rollout["response"]["output"]))
            for rollout in rollouts
        ]

    def respond(self, body: Item) -> Item:
        """The answer to a call of ``/v1/responses``."""
        items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
        conversation = outline(items)
        answer = fake_openai.responses(body)
        fitting = [one for one in self._recordings if conversation[: len(one.beginning)] == one.beginning]
        if not fitting:
            return answer
        recording = max(fitting, key=lambda one: len(one.beginning))
        done = len(turns(items[len(recording.beginning) :]))
        if done < len(recording.turns):
            answer["output"] = list(recording.turns[done])
        return answer
