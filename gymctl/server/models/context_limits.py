"""How model servers say that a conversation does not fit into the context: a closed table of codes and sentences.

A refusal that is not in the table is a mistake of the request. So is one that asks for as many tokens as the whole
context has: no conversation would fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gymctl.server.models.refusals import parts_of

_PREFIX = 200
"""Gateways put the name of an error before the message of the server behind them; what follows is quoted text."""

LIMITS_OF_OUTPUT = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Parameters of either API that bound the tokens of an answer."""


@dataclass(frozen=True)
class ContextLimit:
    """One way of saying that a conversation is too long for the context."""

    server: str
    """The server or provider that sends it."""
    source: str
    """Where that is written down."""
    pattern: re.Pattern[str]
    """The code, matched as a whole, or the sentence. Groups: ``limit`` and ``asked``, in tokens."""
    example: str
    """The code, or a sentence that was seen."""
    is_code: bool = False
    """Whether it is the ``code`` or ``type`` of the error, not its message."""
    statuses: frozenset[int] = frozenset((400, 413, 422))
    """HTTP statuses that it comes with."""


def _code(server: str, source: str, code: str, *statuses: int) -> ContextLimit:
    return ContextLimit(
        server=server,
        source=source,
        pattern=re.compile(re.escape(code)),
        example=code,
        is_code=True,
        statuses=frozenset(statuses or (400, 413, 422)),
    )


def _sentence(server: str, source: str, pattern: str, example: str, *statuses: int) -> ContextLimit:
    return ContextLimit(
        server=server,
        source=source,
        pattern=re.compile(pattern),
        example=example,
        statuses=frozenset(statuses or (400, 413, 422)),
    )


CONTEXT_LIMITS = (
    _code("OpenAI, Azure", "openai-python README, Azure OpenAI reference", "context_length_exceeded"),
    _sentence(
        "OpenAI, vLLM, DeepSeek, OpenRouter",
        "vllm-project/vllm#20409, vllm-project/vllm#33425, refly-ai/refly#1177",
        r"This (?:model|endpoint)'s maximum context length is (?P<limit>\d+) tokens[.,] [Hh]owever, you"
        r"(?:r messages resulted in| requested|r request has|r prompt contains)",
        "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens "
        "(9591 in the messages, 10000 in the completion).",
    ),
    _sentence(
        "OpenAI",
        "the-open-agent/openagent#2344",
        r"Your input exceeds the context window of this model\.",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    _sentence(
        "OpenAI, Azure",
        "errors of GPT-5 (Input tokens exceed the configured limit)",
        r"^Input tokens exceed the configured limit of (?P<limit>\d+) tokens\.",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 402740 tokens.",
    ),
    _sentence(
        "vLLM",
        "vllm-project/vllm#12165",
        r"The (?:decoder |encoder )?prompt \(total length \d+\) is too long to fit into the model "
        r"\(context length (?P<limit>\d+)\)",
        "The prompt (total length 25938) is too long to fit into the model (context length 4096). Make sure that "
        "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens.",
    ),
    _sentence(
        "vLLM",
        "the Rust front end of vLLM (PromptTooLong)",
        r"this model's maximum context length is (?P<limit>\d+) tokens, but the prompt contains \d+ input tokens",
        "this model's maximum context length is 4096 tokens, but the prompt contains 5000 input tokens",
    ),
    _sentence(
        "vLLM",
        "vllm/entrypoints/openai/serving_engine.py (0.10)",
        r"'max_tokens' or 'max_completion_tokens' is too large: (?P<asked>\d+)\. "
        r"This model's maximum context length is (?P<limit>\d+) tokens",
        "'max_tokens' or 'max_completion_tokens' is too large: 3000. This model's maximum context length is 4096 "
        "tokens and your request has 2778 input tokens (3000 > 4096 - 2778).",
    ),
    _sentence(
        "vLLM",
        "vllm-project/vllm#36789",
        r"max_tokens must be at least 1, got (?:0|-\d+)\.",
        "max_tokens must be at least 1, got -7584. (parameter=max_tokens, value=-7584)",
    ),
    _sentence(
        "vLLM",
        "vllm-project/vllm#36789",
        r"Input length \(\d+\) exceeds model's maximum context length \((?P<limit>\d+)\)",
        "Input length (11680) exceeds model's maximum context length (4096).",
    ),
    _sentence(
        "vLLM",
        "thu-coai/Glyph#9",
        r"The (?:decoder |encoder )?prompt \(length \d+\) is longer than the maximum model length of (?P<limit>\d+)",
        "The decoder prompt (length 163840) is longer than the maximum model length of 131072.",
    ),
    _sentence(
        "vLLM",
        "vllm/renderers/params.py (0.15)",
        r"You passed \d+ input tokens and requested (?P<asked>\d+) output tokens\. "
        r"However, the model's context length is only (?P<limit>\d+) tokens",
        "You passed 3900 input tokens and requested 512 output tokens. However, the model's context length is only "
        "4096 tokens, resulting in a maximum input length of 3584 tokens.",
    ),
    _sentence(
        "SGLang",
        "QwenLM/Qwen3#1321",
        r"The input \(\d+ tokens\) is longer than the model's context length \((?P<limit>\d+) tokens\)",
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    ),
    _sentence(
        "SGLang",
        "sglang/srt/managers/tokenizer_manager.py",
        r"Requested token count exceeds the model's maximum context length of (?P<limit>\d+) tokens",
        "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of "
        "9000 tokens: 8500 tokens from the input messages and 500 tokens for the completion.",
    ),
    _sentence(
        "SGLang",
        "sgl-project/sglang#4048",
        r"Input length \(\d+ tokens\) exceeds the maximum allowed length \((?P<limit>\d+) tokens\)",
        "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).",
    ),
    _code("llama.cpp", "ggml-org/llama.cpp#15780", "exceed_context_size_error", 400, 413, 422, 500),
    _sentence(
        "llama.cpp",
        "ggml-org/llama.cpp#19774",
        r"^(?:the )?request(?: \(\d+ tokens\))? exceeds the available context size",
        "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it",
        400,
        500,
    ),
    _sentence(
        "llama.cpp",
        "ggml-org/llama.cpp#19774",
        r"^Context size has been exceeded\.",
        "Context size has been exceeded.",
        400,
        500,
    ),
    _sentence(
        "TGI",
        "huggingface/chat-ui#340",
        r"`inputs` tokens \+ `max_new_tokens` must be <= (?P<limit>\d+)\. "
        r"Given: \d+ `inputs` tokens and (?P<asked>\d+) `max_new_tokens`",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1512. "
        "Given: 1000 `inputs` tokens and 1024 `max_new_tokens`",
    ),
    _sentence(
        "TGI",
        "opea-project/GenAIExamples#340",
        r"`?inputs`? must have less than (?P<limit>\d+) tokens",
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500",
    ),
    _sentence(
        "TensorRT-LLM",
        "triton-inference-server/tensorrtllm_backend#141, triton-inference-server/tensorrtllm_backend#565",
        r"[Pp]rompt length \(\d+\) exceeds (?:max_seq_len|max_input_len|maximum sequence length|maximum input length) "
        r"\((?P<limit>\d+)\)",
        "Cannot process new request: Prompt length (5056) exceeds maximum sequence length (2048)",
        400,
        422,
        500,
    ),
    _sentence(
        "TensorRT-LLM",
        "NVIDIA/TensorRT-LLM#9277",
        r"The sum of prompt length \([\d.]+\),? (?:and )?query length \([\d.]+\)"
        r"(?:,? (?:and )?max_tokens \([\d.]+\))? should not exceed (?:max_num_tokens|max_seq_len) \((?P<limit>\d+)\)",
        "The sum of prompt length (9351.0), query length (0) should not exceed max_num_tokens (8192)",
        400,
        422,
        500,
    ),
    _sentence(
        "Anthropic, Bedrock",
        "anthropics/claude-code#11281, strands-agents/harness-sdk#1663",
        r"prompt is too long: \d+ tokens > (?P<limit>\d+) maximum",
        "prompt is too long: 201130 tokens > 200000 maximum",
    ),
    _sentence(
        "Anthropic",
        "docker/docker-agent#569",
        r"input length and `max_tokens` exceed context limit: \d+ \+ (?P<asked>\d+) > (?P<limit>\d+)",
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or "
        "`max_tokens` and try again",
    ),
    _sentence(
        "Bedrock",
        "BerriAI/litellm#21647",
        r"Input is too long for requested model\.",
        "Input is too long for requested model.",
    ),
    _sentence(
        "Google",
        "google-gemini/gemini-cli#4231; without the first number since 2025",
        r"[Tt]he input token count(?: \(\d+\))? exceeds the maximum number of tokens allowed \(?(?P<limit>\d+)\)?",
        "The input token count (3475108) exceeds the maximum number of tokens allowed (1048576).",
    ),
    _sentence(
        "Google",
        "Vertex AI, errors of generateContent",
        r"[Tt]he input token count is \d+ but (?:the )?model only supports up to (?P<limit>\d+)",
        "Unable to submit request because the input token count is 1052100 but model only supports up to 1048576.",
    ),
    _sentence(
        "Mistral",
        "BerriAI/litellm#21647",
        r"Prompt contains \d+ tokens.{0,60}too large for model with (?P<limit>\d+) maximum context length",
        "Prompt contains 40100 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    ),
)


def exceeds_context(status: int, body: str, request: Mapping[str, Any]) -> bool:
    """Whether a refusal means that the conversation does not fit into the context.

    Args:
        status: the HTTP status of the refusal.
        body: its body, or the head of it.
        request: what was asked, in the parameters of either API: one that asks for no token at all, or for as many as
            the context has, is wrong and not too long.
    """
    requested = next((request[name] for name in LIMITS_OF_OUTPUT if isinstance(request.get(name), int)), None)
    if requested is not None and requested < 1:
        return False
    codes, message = parts_of(body)
    for limit in CONTEXT_LIMITS:
        if status not in limit.statuses:
            continue
        match = _match(limit, codes, message)
        if match is not None:
            return not _asks_for_all(match, requested)
    return False


def _match(limit: ContextLimit, codes: list[str], message: str) -> re.Match[str] | None:
    if limit.is_code:
        return next((match for code in codes if (match := limit.pattern.fullmatch(code))), None)
    match = limit.pattern.search(message)
    if match is not None and match.start() <= _PREFIX:
        return match
    return None


def _asks_for_all(match: re.Match[str], requested: int | None) -> bool:
    groups = match.groupdict()
    if groups.get("limit") is None:
        return False
    tokens = requested if requested is not None else groups.get("asked")
    return tokens is not None and int(tokens) >= int(groups["limit"])
