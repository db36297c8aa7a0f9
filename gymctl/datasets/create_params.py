"""Whether ``responses_create_params`` of a row are valid, and what a metrics file counts of them.

NeMo Gym validates them with pydantic and counts what is left after unknown keys of items were dropped
(``openai_utils.py``, nemo-gym 0.4.0 to 0.7.0). Rows of the usual shape are recognised without pydantic, which takes
a tenth of the time and gives the same answer; a property test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gymctl.datasets.prompts import RowError

if TYPE_CHECKING:
    from pydantic import BaseModel

_OBJECT = 'it must be an object such as {"input": [...]}'
_MODEL_NAME = re.compile(r"_|[A-Z]|.*\[|(?:str|int|bool|dict|list)$")
_ROLES = frozenset(("user", "assistant", "system", "developer"))
_MESSAGE_KEYS = frozenset(("role", "content", "type"))
_TOOL_KEYS = frozenset(("type", "name", "description", "parameters", "strict"))
_REQUIRED_OF_TOOL = frozenset(("type", "name", "parameters", "strict"))


@dataclass(frozen=True, slots=True)
class ParamsFigures:
    """What is counted of one row's parameters; None where there is nothing to count."""

    words: int
    """Words of the parameters as JSON text, a proxy for tokens."""
    tools: int | None
    turns: int | None
    """Messages of the user."""
    temperature: float | None
    size: int
    """Characters of the parameters as JSON text."""
    digest: int
    """Of the parameters, for comparisons within this process."""


def figures_of(params: Any) -> ParamsFigures:
    """Validate parameters and count.

    Raises:
        RowError: they are not valid; the text names the first key that is wrong.
    """
    if not _is_usual(params):
        params = validated(params)
    tools = params.get("tools")
    text = json.dumps(params)
    return ParamsFigures(
        words=len(text.split()),
        tools=_length(tools),
        turns=_turns(params["input"]),
        temperature=params.get("temperature"),
        size=len(text),
        digest=hash(text),
    )


def validated(params: Any) -> dict[str, Any]:
    """Parameters without what NeMo Gym drops from them.

    Raises:
        RowError: they are not valid.
    """
    from pydantic import ValidationError

    if params is None:
        raise RowError(f"responses_create_params is missing; {_OBJECT}")
    if not isinstance(params, dict):
        raise RowError(f"responses_create_params is not an object; {_OBJECT}")
    try:
        model = _model().model_validate(params)
    except ValidationError as error:
        raise RowError(_first_problem(error.errors(include_url=False), params)) from error
    dump: dict[str, Any] = model.model_dump(exclude_unset=True)
    return dump


def _length(value: list[Any] | None) -> int | None:
    if value is None:
        return None
    return len(value)


def _turns(value: Any) -> int | None:
    if isinstance(value, str):
        return 1
    return sum(item.get("role") == "user" for item in value) or None


def _is_usual(params: Any) -> bool:
    """Whether the parameters are valid at first sight, with nothing in them that would be dropped or converted."""
    if type(params) is not dict or "input" not in params:
        return False
    return all(_USUAL.get(key, _never)(value) for key, value in params.items())


def _is_usual_message(item: Any) -> bool:
    return (
        type(item) is dict
        and item.keys() <= _MESSAGE_KEYS
        and item.get("role") in _ROLES
        and type(item.get("content")) is str
        and item.get("type", "message") == "message"
    )


def _is_usual_tool(tool: Any) -> bool:
    return (
        type(tool) is dict
        and _REQUIRED_OF_TOOL <= tool.keys() <= _TOOL_KEYS
        and tool["type"] == "function"
        and type(tool["name"]) is str
        and type(tool.get("description", "")) is str
        and type(tool["parameters"]) is dict
        and (tool["strict"] is None or type(tool["strict"]) is bool)
    )


def _never(value: Any) -> bool:
    return False


_USUAL: dict[str, Callable[[Any], bool]] = {
    "input": lambda value: type(value) is str or (type(value) is list and all(map(_is_usual_message, value))),
    "tools": lambda value: type(value) is list and all(map(_is_usual_tool, value)),
    "tool_choice": lambda value: value in ("auto", "none", "required"),
    "parallel_tool_calls": lambda value: type(value) is bool,
    **dict.fromkeys(("temperature", "top_p"), lambda value: type(value) is float),
    **dict.fromkeys(("max_output_tokens", "max_tool_calls", "top_logprobs"), lambda value: type(value) is int),
    **dict.fromkeys(("instructions", "model", "user", "previous_response_id"), lambda value: type(value) is str),
}


def _first_problem(errors: list[Any], params: Mapping[str, Any]) -> str:
    """The most useful of pydantic's errors: an unknown key, otherwise the most deeply nested one."""
    unknown = next((error for error in errors if error["type"] == "extra_forbidden"), None)
    if unknown is not None:
        return _unknown_key(str(unknown["loc"][-1]))
    missing = next((error for error in errors if error["loc"] == ("input",)), None)
    if missing is not None:
        return "responses_create_params has no input; add text or a list of messages"
    kinds = [_kind_of_item(params, error["loc"]) for error in errors]
    fitting = [error for error, kind in zip(errors, kinds, strict=True) if kind is None or kind in error["loc"]]
    error = max(fitting or errors, key=lambda error: len(error["loc"]))
    place = ".".join(str(part) for part in error["loc"] if not _is_model_name(part))
    return f"responses_create_params.{place}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _unknown_key(key: str) -> str:
    from gymctl.config.wording import did_you_mean

    hint = did_you_mean(key, _model().model_fields) or "move it out of responses_create_params or remove it"
    return f"responses_create_params has the unknown key {key!r}; {hint}"


def _is_model_name(part: str | int) -> bool:
    return isinstance(part, str) and _MODEL_NAME.match(part) is not None


def _kind_of_item(params: Mapping[str, Any], location: tuple[str | int, ...]) -> str | None:
    """The name of the model that an item of the input is meant as, where its type makes that plain."""
    from gymctl.datasets.param_models import MODEL_OF_TYPE

    if len(location) < 3 or location[0] != "input" or not isinstance(params.get("input"), list):
        return None
    index = next((part for part in location if isinstance(part, int)), None)
    if index is None or not isinstance(params["input"][index], dict):
        return None
    item = params["input"][index]
    return MODEL_OF_TYPE.get(str(item.get("type", "message")))


@lru_cache(maxsize=1)
def _model() -> type[BaseModel]:
    from gymctl.datasets.param_models import CreateParams

    return CreateParams
