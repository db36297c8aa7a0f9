"""Every conversion that NeMo Gym's own tests of ``vllm_model`` make, as JSON lines. Run it with NeMo Gym's interpreter.

    PYTHON_WITH_NEMO_GYM scripts/upstream_conversions.py [CASES] > conversions.jsonl

CASES are further conversions to make, lines with ``test`` (a name), ``kind`` (the first two below), ``config`` and
``given``; where NeMo Gym cannot, there is ``error`` in place of ``result``.

The tests are in the package from PyPI. Each one is run as it stands, and what goes into and comes out of NeMo Gym's
converter and its server is written down:

- ``to_chat``: create params (``given``) to a chat request (``result``);
- ``to_items``: an assistant's chat message to items of a Response;
- ``prepare``: a chat request to what is sent to the endpoint (or ``error``, what was raised);
- ``served``: a request to the server (``path``, ``given``), what it sent (``sent``: chat requests and those for
  /tokenize), what the endpoint answered (``answered``), and what came back (``status``, ``result``); unless the test
  has put a part of the server out of work.

Each line names the ``test`` and has the ``config`` in force. A last line counts the tests: ``{"tests": ...}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib
import inspect
import io
import json
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MODULE = "responses_api_models.vllm_model"
lines: list[dict[str, Any]] = []
now: dict[str, Any] = {}  # the test that runs, and the exchange with the endpoint in it


class MonkeyPatch:
    """As much of pytest's as those tests use."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def setattr(self, target: Any, name: Any, *value: Any) -> None:
        """Set an attribute, by object and name or by a dotted path, until ``undo``."""
        if not value:
            module, _, attribute = target.rpartition(".")
            value = (name,)
            name = attribute
            target = importlib.import_module(module)
        self._before.append((target, name, getattr(target, name)))
        setattr(target, name, value[0])

    def undo(self) -> None:
        """Put everything back."""
        while self._before:
            setattr(*self._before.pop())


@contextlib.contextmanager
def raises(kind: type[BaseException], match: str = "") -> Iterator[None]:
    """As pytest's."""
    try:
        yield
    except kind as error:
        if match not in str(error):
            raise
    else:
        raise AssertionError(f"{kind} was not raised")


def parametrize(names: str, values: list[Any], ids: list[str] | None = None) -> Callable[[Any], Any]:
    """Keep a test's cases on it."""

    def mark(function: Any) -> Any:
        """Attach the cases to the test."""
        function.cases = [
            (name, dict(zip([part.strip() for part in names.split(",")], value, strict=True)))
            for name, value in zip(ids or map(str, range(len(values))), values, strict=True)
        ]
        return function

    return mark


def main() -> None:
    """Run all tests, and write the lines."""
    pytest = types.ModuleType("pytest")
    vars(pytest).update(MonkeyPatch=MonkeyPatch, raises=raises, mark=types.SimpleNamespace(parametrize=parametrize))
    sys.modules["pytest"] = pytest
    with contextlib.redirect_stdout(io.StringIO()):
        tests = importlib.import_module(f"{MODULE}.tests.test_app")
        watch()
        for text in Path(sys.argv[1]).read_text().splitlines() if len(sys.argv) > 1 else ():
            convert(json.loads(text))
        ran = [name for owner, test in find_tests(tests) for name in run(owner, test)]
    for line in [*lines, {"tests": ran}]:
        sys.stdout.write(json.dumps(line) + "\n")


def convert(case: dict[str, Any]) -> None:
    """Make one conversion that was asked for."""
    from nemo_gym.openai_utils import NeMoGymResponseCreateParamsNonStreaming
    from nemo_gym.responses_converter import ResponsesConverter

    now["test"] = case["test"]
    converter = ResponsesConverter(**case["config"])
    try:
        if case["kind"] == "to_chat":
            params = NeMoGymResponseCreateParamsNonStreaming.model_validate(case["given"])
            converter.responses_to_chat_completion_create_params(params)
        else:
            converter.postprocess_assistant_message_dict(case["given"])
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is wanted
        text = f"{type(error).__name__}: {error}"
        note(case["kind"], converter, case["given"], error=text.splitlines()[0])


def find_tests(module: Any) -> Iterator[tuple[Any, Any]]:
    """The test classes of a module with each of their tests."""
    for owner in vars(module).values():
        if not inspect.isclass(owner) or owner.__module__ != module.__name__:
            continue
        if owner.__name__.startswith("Test"):
            yield from ((owner, test) for name, test in vars(owner).items() if name.startswith("test_"))


def run(owner: Any, test: Any) -> Iterator[str]:
    """Run one test, in all its cases; yields their names."""
    for case, arguments in getattr(test, "cases", [("", {})]):
        now.update(test=f"{owner.__name__}.{test.__name__}" + (f"[{case}]" if case else ""), sent=[], answered=[])
        patch = MonkeyPatch()
        instance = owner()
        parameters = inspect.signature(test).parameters
        with tempfile.TemporaryDirectory() as folder:
            values = {**arguments, "monkeypatch": patch, "tmp_path": Path(folder)}
            with contextlib.suppress(AttributeError):
                instance.setup_method(None)
            try:
                result = test(instance, **{name: values[name] for name in parameters if name != "self"})
                if inspect.iscoroutine(result):
                    asyncio.run(result)
            finally:
                patch.undo()
        yield now["test"]


def plain(value: Any) -> Any:
    """As JSON has it, with what was never set left out."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def note(kind: str, config: Any, inputs: Any, **more: Any) -> None:
    """Add a line."""
    lines.append({"test": now["test"], "kind": kind, "config": plain(config), "given": inputs, **more})


def watch() -> None:
    """Write down every call of the converter, of the preparation, and of the server."""
    from fastapi.testclient import TestClient
    from nemo_gym.responses_converter import ResponsesConverter

    server = importlib.import_module(f"{MODULE}.app").VLLMModel
    for kind, name in (
        ("to_chat", "responses_to_chat_completion_create_params"),
        ("to_items", "postprocess_assistant_message_dict"),
    ):
        setattr(ResponsesConverter, name, converting(kind, getattr(ResponsesConverter, name)))
    server._preprocess_chat_completion_create_params = preparing(server._preprocess_chat_completion_create_params)
    server._resolve_client = resolving(server._resolve_client)
    setattr(TestClient, "post", posting(TestClient.post))  # noqa: B010 - to the type checker a method is not a variable


def converting(kind: str, method: Any) -> Any:
    """A method of the converter that notes what it makes of what."""

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        """Call the original, and write down the call."""
        argument = copy.deepcopy([*arguments, *named.values()][0])
        result = method(self, *arguments, **named)
        note(kind, self, plain(argument), result=plain(result))
        return result

    return noted


def preparing(method: Any) -> Any:
    """The preparation of a chat request that notes what it makes of it."""

    def noted(self: Any, request: Any, body: dict[str, Any]) -> Any:
        """Call the original, and write down the call."""
        original = copy.deepcopy(body)
        files = {}
        for path in [
            original.get("metadata", {}).get("audio_path"),
            *(original.get("metadata", {}).get("audio_paths") or []),
        ]:
            for place in (Path(str(path)), Path(str(self.config.audio_root)) / str(path)):
                if place.is_file():
                    files[str(place)] = place.read_bytes().hex()
        try:
            result = method(self, request, body)
        except (ValueError, FileNotFoundError) as error:
            note("prepare", self.config, original, error=str(error), files=files)
            raise
        note("prepare", self.config, original, result=plain(copy.deepcopy(result)), files=files)
        return result

    return noted


def resolving(method: Any) -> Any:
    """The choice of an endpoint, which then notes what it is asked and answers."""

    def noted(self: Any, request: Any) -> Any:
        """Call the original, and write down the call."""
        client = method(self, request)
        now["config"] = self.config
        return types.SimpleNamespace(
            create_chat_completion=exchanging("chat/completions", client.create_chat_completion),
            create_tokenize=exchanging("tokenize", getattr(client, "create_tokenize", None)),
        )

    return noted


def exchanging(path: str, call: Any) -> Any:
    """A call of the endpoint that is noted."""

    async def noted(**request: Any) -> Any:
        """Call the original, and write down the call."""
        now["sent"].append([path, plain(copy.deepcopy(request))])
        answer = await call(**request)
        now["answered"].append(plain(copy.deepcopy(answer)))
        return answer

    return noted


def posting(method: Any) -> Any:
    """A request to the server that is noted, unless the test has put a part of the server out of work."""

    def noted(self: Any, path: str, **named: Any) -> Any:
        """Call the original, and write down the call."""
        now.update(sent=[], answered=[], config=None)
        reply = method(self, path, **named)
        if now["config"] is not None:
            exchange = {name: now[name] for name in ("sent", "answered")}
            note(
                "served",
                now["config"],
                named["json"],
                path=path,
                status=reply.status_code,
                result=reply.json(),
                **exchange,
            )
        return reply

    return noted


if __name__ == "__main__":
    main()
