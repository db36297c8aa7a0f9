"""``responses_create_params`` as pydantic models, with the keys and the order of unions of nemo-gym 0.4.0 to 0.7.0.

The order matters: pydantic picks the variant of an item by it, and drops the keys that the variant does not have.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

_Status = Literal["in_progress", "completed", "incomplete"]
_HOSTED_TOOLS = frozenset(
    "file_search computer_use_preview web_search web_search_2025_08_26 mcp code_interpreter image_generation "
    "local_shell custom web_search_preview web_search_preview_2025_03_11".split()
)


class _TokenFields(BaseModel):
    prompt_token_ids: list[int]
    generation_token_ids: list[int]
    generation_log_probs: list[float]
    routed_experts: list[list[list[int]]] | None = None


class _InputText(TypedDict):
    text: str
    type: Literal["input_text"]


class _InputImage(TypedDict):
    detail: Literal["low", "high", "auto"]
    type: Literal["input_image"]
    file_id: NotRequired[str | None]
    image_url: NotRequired[str | None]


class _InputFile(TypedDict):
    type: Literal["input_file"]
    file_data: NotRequired[str]
    file_id: NotRequired[str | None]
    file_url: NotRequired[str]
    filename: NotRequired[str]


_Parts = list[_InputText | _InputImage | _InputFile]


class _OutputText(BaseModel):
    annotations: list[Any]
    text: str
    type: Literal["output_text"] = "output_text"
    logprobs: list[Any] | None = None


class _Refusal(BaseModel):
    refusal: str
    type: Literal["refusal"] = "refusal"


class _Summary(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str
    type: Literal["summary_text"]


class EasyMessage(BaseModel):
    """A message whose content is text or parts."""

    content: str | _Parts
    role: Literal["user", "assistant", "system", "developer"]
    type: Literal["message"] = "message"


class PartsMessage(BaseModel):
    """A message whose content is parts."""

    content: _Parts
    role: Literal["user", "system", "developer"]
    status: _Status = "completed"
    type: Literal["message"] = "message"


class OutputMessage(BaseModel):
    """A message of the model, as in a response's output."""

    id: str
    content: list[_OutputText | _Refusal]
    role: Literal["assistant"] = "assistant"
    status: _Status = "completed"
    type: Literal["message"] = "message"


class FunctionCall(BaseModel):
    """A call of a tool."""

    arguments: str
    call_id: str
    name: str
    type: Literal["function_call"] = "function_call"
    id: str | None = None
    status: _Status | None = None


class FunctionCallOutput(BaseModel):
    """A tool's answer."""

    call_id: str
    output: str
    type: Literal["function_call_output"] = "function_call_output"
    id: str | None = None
    status: _Status | None = None


class ReasoningParams(BaseModel):
    """What a model thought."""

    id: str
    summary: list[_Summary]
    type: Literal["reasoning"] = "reasoning"
    encrypted_content: str | None = None


class EasyMessageForTraining(EasyMessage, _TokenFields):
    """As ``EasyMessage``, with token ids."""


class PartsMessageForTraining(PartsMessage, _TokenFields):
    """As ``PartsMessage``, with token ids."""


class OutputMessageForTraining(OutputMessage, _TokenFields):
    """As ``OutputMessage``, with token ids."""


class FunctionCallForTraining(FunctionCall, _TokenFields):
    """As ``FunctionCall``, with token ids."""


class ReasoningForTraining(ReasoningParams, _TokenFields):
    """As ``ReasoningParams``, with token ids."""


_Item = (
    EasyMessage
    | PartsMessage
    | OutputMessage
    | FunctionCall
    | FunctionCallOutput
    | ReasoningParams
    | EasyMessageForTraining
    | PartsMessageForTraining
    | OutputMessageForTraining
    | FunctionCallForTraining
    | ReasoningForTraining
)

MODEL_OF_TYPE = {
    "message": "EasyMessage",
    "function_call": "FunctionCall",
    "function_call_output": "FunctionCallOutput",
    "reasoning": "ReasoningParams",
}


class _FunctionTool(TypedDict):
    name: str
    parameters: dict[str, object] | None
    strict: bool | None
    type: Literal["function"]
    description: NotRequired[str | None]


def _hosted(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") not in _HOSTED_TOOLS:
        raise ValueError("not a function with name, parameters and strict, nor a tool that the provider runs")
    return tool


_HostedTool = Annotated[dict[str, Any], AfterValidator(_hosted)]


class _ReasoningOptions(TypedDict, total=False):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None
    generate_summary: Literal["auto", "concise", "detailed"] | None
    summary: Literal["auto", "concise", "detailed"] | None


class _TextOptions(TypedDict, total=False):
    format: dict[str, Any]
    verbosity: Literal["low", "medium", "high"] | None


class CreateParams(BaseModel):
    """Parameters of a request; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")

    background: bool | None = None
    include: list[str] | None = None
    input: str | list[_Item]
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    model: str | None = None
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    prompt: dict[str, Any] | None = None
    reasoning: _ReasoningOptions | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    store: bool | None = None
    temperature: float | None = None
    text: _TextOptions | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] = "auto"
    tools: list[_FunctionTool | _HostedTool] = Field(default_factory=list)
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    stream: Literal[False] | None = None
