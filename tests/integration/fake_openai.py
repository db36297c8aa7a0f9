"""An endpoint that speaks both OpenAI APIs and plays the example environments well, the same way each time.

It looks at nothing but the conversation: every word of the topic asked for, then all their values; every number in the
text added to the counter, then the counter read; then a message.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = list[tuple[str, dict[str, Any]]] | str
"""Tool calls as (name, arguments), or the final text."""
Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""What answers the body of a request."""


def next_step(texts: list[str], outputs: list[str], tools: set[str]) -> Step:
    """What the model does next."""
    rounds = len(outputs)
    if "get_synonym_value" in tools:
        question = texts[-1].lower()
        glossary = re.findall(r'Topic (\w+): "(\w+)"', texts[0])
        mentioned = [topic for topic, _ in glossary if topic.lower() in question]
        about = max(mentioned, key=lambda topic: question.index(topic.lower()), default="Bright")
        words = [word for topic, word in glossary if topic == about]
        if rounds == 0:
            return [("get_synonym_value", {"synonym": word}) for word in words]
        if rounds == len(words):
            values = [json.loads(output)["synonym_value"] for output in outputs]
            return [("extract_synonym_values", {"synonym_values": values})]
    if "increment_counter" in tools:
        amounts = [int(number) for number in re.findall(r"-?\d+", texts[-1])]
        if rounds == 0:
            return [("increment_counter", {"count": amount}) for amount in amounts]
        if rounds == len(amounts):
            return [("get_counter_value", {})]
    return "That is done: " + (outputs[-1] if outputs else "nothing was asked")


def _text(content: str | list[dict[str, Any]] | None) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def _identity(*parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def responses(body: dict[str, Any]) -> dict[str, Any]:
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    texts = [_text(item["content"]) for item in items if item.get("role") in ("user", "system", "developer")]
    outputs = [item["output"] for item in items if item.get("type") == "function_call_output"]
    step = next_step(texts, outputs, {tool["name"] for tool in body.get("tools") or ()})
    seed = _identity(texts, outputs)
    if isinstance(step, str):
        part = {"type": "output_text", "text": step, "annotations": []}
        output = [
            {"type": "message", "id": f"msg_{seed}", "role": "assistant", "status": "completed", "content": [part]}
        ]
    else:
        output = [
            {
                "type": "function_call",
                "id": f"fc_{seed}_{number}",
                "call_id": f"call_{seed}_{number}",
                "name": name,
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
            for number, (name, arguments) in enumerate(step)
        ]
    usage: dict[str, Any] = {"input_tokens": 10 * len(items), "output_tokens": 7, "total_tokens": 10 * len(items) + 7}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp_{seed}",
        "created_at": 1_700_000_000,
        "object": "response",
        "model": body.get("model", "scripted"),
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "usage": usage,
    }


def chat(body: dict[str, Any]) -> dict[str, Any]:
    messages = body["messages"]
    texts = [_text(message["content"]) for message in messages if message["role"] in ("user", "system", "developer")]
    outputs = [_text(message["content"]) for message in messages if message["role"] == "tool"]
    step = next_step(texts, outputs, {tool["function"]["name"] for tool in body.get("tools") or ()})
    seed = _identity(texts, outputs)
    message: dict[str, Any] = {"role": "assistant", "content": step if isinstance(step, str) else None}
    if not isinstance(step, str):
        message["tool_calls"] = [
            {
                "id": f"call_{seed}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(step)
        ]
    return {
        "id": f"chatcmpl_{seed}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "stop" if isinstance(step, str) else "tool_calls"}
        ],
        "usage": {"prompt_tokens": 10 * len(messages), "completion_tokens": 7, "total_tokens": 10 * len(messages) + 7},
    }


ANSWERS = {"/v1/responses": responses, "/v1/chat/completions": chat}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: Mapping[str, Answer] = ANSWERS

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = self.answers[self.path](body)
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


@contextmanager
def endpoint(answers: Mapping[str, Answer] = ANSWERS) -> Iterator[int]:
    """The port of a running endpoint; containers reach it too. ``answers``: path -> what answers a body."""
    server = _Server(("0.0.0.0", 0), type("Handler", (_Handler,), {"answers": dict(answers)}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
