"""A policy without a language model: a fixed script that calls the tools it is offered, then stops.

It is a pure function of the request, needs no key and no network, and answers in microseconds. Use it to see a stack
work from end to end and in tests; its rewards do not measure any model.

The script: take the offered tools in order; for each one, find arguments in the prompt (or, for arrays of numbers,
in earlier tool outputs), make the calls that were not made yet, and go on to the next tool; then send a message.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import Field

from gymctl.config import exact_json
from gymctl.server import ModelServer, RefusedError, ServerConfig, Session
from gymctl.server.responses import function_call, input_items, message, response, usage

Read = TypeVar("Read")

NAME = "scripted-model (not a language model)"
MOST_CALLS = 8  # of one tool for one question: a prompt full of numbers must not become a hundred calls

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
QUOTED = re.compile(r"\"([^\"\n]+)\"|(?<!\w)'([^'\n]+)'(?!\w)|“([^”\n]+)”")
NAMES = re.compile(r"(?<![.!?:] )(?<!^)\b[A-Z][\w-]+(?: [A-Z][\w-]+)*", re.MULTILINE)
WORDS = re.compile(r"[A-Za-z]{3,}")


@dataclass(slots=True)
class ScriptedConversation:
    """What the script looks at: the prompt's lines, the last question, and what was called since it was asked."""

    lines: list[str] = field(default_factory=list)
    question: str = ""
    made: list[str] = field(default_factory=list)  # names of the tools called, in order
    outputs: list[str] = field(default_factory=list)

    def say(self, role: str, content: Any) -> None:
        """Add a message; a user's message starts a new question."""
        text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content or ())
        self.lines += text.splitlines()
        if role == "user":
            self.question = text
            self.made = []
            self.outputs = []

    def numbers(self) -> list[int | float]:
        """The numbers in the question, in order, repeats kept."""
        return [float(number) if "." in number else int(number) for number in NUMBER.findall(self.question)]

    def phrases(self) -> list[str]:
        """Quoted phrases on prompt lines that share a word with the question; else its names; else all of it."""
        words = {word.lower() for word in WORDS.findall(self.question)}
        phrases = [
            next(filter(None, groups))
            for line in self.lines
            if not words.isdisjoint(word.lower() for word in WORDS.findall(QUOTED.sub("", line)))
            for groups in QUOTED.findall(line)
        ]
        return list(dict.fromkeys(phrases or NAMES.findall(self.question))) or [self.question]

    def results(self) -> list[int | float]:
        """The numbers in the tool outputs so far, in order."""
        return [number for output in self.outputs for number in numbers_in(output)]


@dataclass(frozen=True, slots=True)
class ScriptedTool:
    """An offered function: its name and the JSON schema of its parameters."""

    name: str
    parameters: dict[str, Any]


def numbers_in(output: str) -> Iterator[int | float]:
    """Every number in a JSON text, depth first; nothing when it is not JSON."""
    try:
        todo = [exact_json.loads(output)]
    except ValueError:
        return
    while todo:
        value = todo.pop()
        if isinstance(value, (dict, list)):
            todo += reversed(list(value.values() if isinstance(value, dict) else value))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield value


def values_for(schema: dict[str, Any], talk: ScriptedConversation) -> list[Any]:
    """Every value the script can think of for one parameter; never empty."""
    if options := schema.get("enum"):
        return [option for option in options if str(option) in talk.question] or options[:1]
    kind = schema.get("type")
    if isinstance(kind, list):  # ["string", "null"]: the first is what is meant
        kind = next(iter(kind), None)
    if kind in ("integer", "number"):
        return [int(number) if kind == "integer" else number for number in talk.numbers()] or [1]
    if kind == "array":
        of_text = schema.get("items", {}).get("type") == "string"
        return [talk.phrases() if of_text else talk.results() or talk.numbers()]
    plain: dict[Any, list[Any]] = {"boolean": [True], "object": [{}]}
    return plain.get(kind) or talk.phrases()


def arguments_for(tool: ScriptedTool, talk: ScriptedConversation) -> list[dict[str, Any]]:
    """The script's calls of a tool: one for each value of its only required parameter, otherwise one."""
    schemas = tool.parameters.get("properties", {})
    values = {name: values_for(schemas.get(name, {}), talk) for name in tool.parameters.get("required", ())}
    if len(values) == 1:
        ((name, choices),) = values.items()
        return [{name: value} for value in choices[:MOST_CALLS]]
    return [{name: choices[min(place, len(choices) - 1)] for place, (name, choices) in enumerate(values.items())}]


def next_calls(
    talk: ScriptedConversation, tools: list[ScriptedTool], *, parallel: bool
) -> list[tuple[str, dict[str, Any]]]:
    """The calls to make now; empty when the script is through."""
    for tool in tools:
        missing = arguments_for(tool, talk)[talk.made.count(tool.name) :]
        if missing:
            return [(tool.name, arguments) for arguments in (missing if parallel else missing[:1])]
    return []


def farewell(talk: ScriptedConversation) -> str:
    """The closing message: what was done, and that no language model did it."""
    last = f" The last tool answered: {talk.outputs[-1]}" if talk.outputs else ""
    tools = ", ".join(dict.fromkeys(talk.made)) or "no tool"
    return f"This is a script, not a language model. It called {tools} and stops here.{last}"


def offered(params: dict[str, Any]) -> list[ScriptedTool]:
    """The function tools of a request in either API's shape, less those ``tool_choice`` rules out."""
    choice = params.get("tool_choice", "auto")
    if choice == "none":
        return []
    functions = [tool.get("function", tool) for tool in params.get("tools") or () if tool.get("type") == "function"]
    named = choice.get("function", choice).get("name") if isinstance(choice, dict) else None
    return [
        ScriptedTool(each["name"], each.get("parameters") or {}) for each in functions if named in (None, each["name"])
    ]


def read_responses(params: dict[str, Any]) -> ScriptedConversation:
    """The conversation in a Responses API request."""
    talk = ScriptedConversation()
    if params.get("instructions"):
        talk.say("system", params["instructions"])
    for item in input_items(params.get("input", "")):
        match item.get("type", "message"):
            case "message":
                talk.say(item.get("role", "user"), item.get("content"))
            case "function_call":
                talk.made.append(item["name"])
            case "function_call_output":
                talk.outputs.append(str(item["output"]))
    return talk


def read_chat(params: dict[str, Any]) -> ScriptedConversation:
    """The conversation in a Chat Completions request."""
    talk = ScriptedConversation()
    for item in params.get("messages") or ():
        if item["role"] == "tool":
            talk.outputs.append(str(item["content"]))
            continue
        talk.say(item["role"], item.get("content"))
        talk.made += [call["function"]["name"] for call in item.get("tool_calls") or ()]
    return talk


def _well_formed(name: str, read: Callable[[dict[str, Any]], Read], params: dict[str, Any]) -> Read:
    """What is read of a request; one of a shape that it cannot have is refused by the parameter's name."""
    try:
        return read(params)
    except (AttributeError, KeyError, TypeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RefusedError((name,), f"malformed: {problem}", "type_error") from error


class ScriptedConfig(ServerConfig):
    """``latency_ms``: how long every reply waits, in milliseconds.

    ``says``: texts to end with in place of the farewell, by a regular expression that the question holds; the first
    that fits. It makes a judge of the script.
    """

    latency_ms: float = Field(0.0, ge=0)
    """Delay of every reply, in milliseconds."""
    says: dict[str, str] = Field(default_factory=dict)
    """Final answers by regular expression; the first one that matches the question is used."""


class ScriptedModel(ModelServer):
    """Serves the script through both APIs."""

    config: ScriptedConfig

    async def responses(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
        """Answer a Responses API request."""
        talk = _well_formed("input", read_responses, params)
        tools = _well_formed("tools", offered, params)
        calls, mark = await self._play(talk, tools, params)
        output = [
            {
                **function_call(name, exact_json.dumps(arguments).decode(), f"call_{mark}_{place}"),
                "id": f"fc_{mark}_{place}",
            }
            for place, (name, arguments) in enumerate(calls)
        ]
        return response(
            NAME,
            output or [{**message(self._last_words(talk)), "id": f"msg_{mark}"}],
            id=f"resp_{mark}",
            created_at=0,
            tools=params.get("tools") or [],
            tool_choice=params.get("tool_choice", "auto"),
            usage=usage(*words(talk, calls)),
        )

    async def chat_completions(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
        """Answer a Chat Completions request."""
        talk = _well_formed("messages", read_chat, params)
        tools = _well_formed("tools", offered, params)
        calls, mark = await self._play(talk, tools, params)
        tool_calls = [
            {
                "id": f"call_{mark}_{place}",
                "type": "function",
                "function": {"name": name, "arguments": exact_json.dumps(arguments).decode()},
            }
            for place, (name, arguments) in enumerate(calls)
        ]
        message: dict[str, Any] = {"role": "assistant", "content": None if calls else self._last_words(talk)}
        read, wrote = words(talk, calls)
        return {
            "id": f"chatcmpl-{mark}",
            "object": "chat.completion",
            "created": 0,
            "model": NAME,
            "choices": [
                {
                    "index": 0,
                    "message": message | ({"tool_calls": tool_calls} if calls else {}),
                    "finish_reason": "tool_calls" if calls else "stop",
                }
            ],
            "usage": {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote},
        }

    def _last_words(self, talk: ScriptedConversation) -> str:
        """The last message of the script."""
        for pattern, text in self.config.says.items():
            if match := re.search(pattern, talk.question, re.DOTALL):
                return filled(text, match)
        return farewell(talk)

    async def _play(
        self, talk: ScriptedConversation, tools: list[ScriptedTool], params: dict[str, Any]
    ) -> tuple[list[tuple[str, dict[str, Any]]], str]:
        """The calls to make now, and a mark that names this request in ids."""
        if self.config.latency_ms > 0:
            await asyncio.sleep(self.config.latency_ms / 1000)
        mark = hashlib.blake2b(exact_json.dumps(params), digest_size=8).hexdigest()
        return next_calls(talk, tools, parallel=params.get("parallel_tool_calls") is not False), mark


def filled(text: str, match: re.Match[str]) -> str:
    """A text of ``says`` with ``$1`` and so on replaced by the groups of its expression, where it has them."""
    groups = match.groups(default="")
    numbers = "|".join(str(number) for number in range(1, len(groups) + 1))
    return re.sub(rf"\$({numbers})(?!\d)", lambda place: groups[int(place[1]) - 1], text) if groups else text


def words(talk: ScriptedConversation, calls: list[tuple[str, dict[str, Any]]]) -> tuple[int, int]:
    """Input and output words, used in place of tokens."""
    read = sum(len(text.split()) for text in (*talk.lines, *talk.outputs)) + len(talk.made)
    content = " ".join(f"{name} {arguments}" for name, arguments in calls) or farewell(talk)
    return read, len(content.split())


if __name__ == "__main__":
    ScriptedModel.serve()
