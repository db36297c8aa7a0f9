"""Which parsers of vLLM fit which family of models: what its documentation (tool calling, reasoning outputs) names.

The names are held to those that the tested vLLM knows (tests/integration/test_vllm_cpu.py). The first family whose
pattern is found in a model's name counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gymctl.config.diagnostics import Findings, NoteCode
from gymctl.config.vllm.served_model import VllmBlock

NONE = "none"  # what a user writes as a parser to have none


@dataclass(frozen=True)
class Family:
    """One family: its tool-call parsers, the usual one first, and the reasoning parser of those that think.

    ``opens_thoughts``: the chat template writes the opening ``<think>``, so that an answer holds only the closing one.
    """

    title: str
    pattern: str
    tools: tuple[str, ...]
    reasoning: str | None = None
    opens_thoughts: bool = False


FAMILIES: tuple[Family, ...] = (
    Family("DeepSeek-R1 distilled", r"deepseek-r1-distill", (), "deepseek_r1", opens_thoughts=True),
    Family("DeepSeek-V4", r"deepseek-v4", ("deepseek_v4", "deepseek_v41"), "deepseek_v4"),
    Family("DeepSeek-V3.2", r"deepseek-v3\.2", ("deepseek_v32",), "deepseek_v3"),
    Family("DeepSeek-V3.1", r"deepseek-v3\.1", ("deepseek_v31",), "deepseek_v3"),
    Family("DeepSeek-R1", r"deepseek-r1", ("deepseek_v3",), "deepseek_r1", opens_thoughts=True),
    Family("DeepSeek-V3", r"deepseek-v3", ("deepseek_v3",)),
    Family("Qwen3-Coder", r"qwen-?3-coder", ("qwen3_coder", "qwen3_xml")),
    Family("Qwen3.5", r"qwen-?3\.[5-9]", ("qwen3_coder", "qwen3_xml"), "qwen3"),
    Family("Qwen3 Instruct", r"qwen-?3(-next)?-.*instruct", ("hermes",)),
    Family("Qwen3 Thinking", r"qwen-?3(-next)?-.*thinking", ("hermes",), "deepseek_r1", opens_thoughts=True),
    Family("Qwen3", r"qwen-?3", ("hermes",), "qwen3"),
    Family("QwQ", r"qwq", ("hermes",), "deepseek_r1", opens_thoughts=True),
    Family("Qwen2.5", r"qwen-?2", ("hermes",)),
    Family("Nemotron 3", r"nemotron-(3|v3)", ("qwen3_coder",), "nemotron_v3"),
    Family("Llama 4", r"llama-?4", ("llama4_pythonic", "llama4_json")),
    Family("Hermes", r"hermes-?[234]", ("hermes",)),
    Family("Llama 3", r"llama-?3", ("llama3_json", "pythonic")),
    Family("Magistral", r"magistral", ("mistral",), "mistral"),
    Family("Mistral", r"mistral|mixtral|ministral|devstral|codestral", ("mistral",)),
    Family("gpt-oss", r"gpt-oss", ("openai",), "openai_gptoss"),
    Family("GLM-4.7", r"glm-?(4\.7|5)", ("glm47",), "glm45"),
    Family("GLM-4.5", r"glm-?4\.[56]", ("glm45",), "glm45"),
    Family("Kimi-K2", r"kimi-?k2", ("kimi_k2",), "kimi_k2"),
    Family("MiniMax-M2", r"minimax-?m2", ("minimax_m2",), "minimax_m2"),
    Family("Granite 20B functions", r"granite-20b-functioncalling", ("granite-20b-fc",)),
    Family("Granite 4", r"granite-4", ("granite4", "hermes")),
    Family("Granite 3", r"granite-3", ("granite",), "granite"),
    Family("Gemma 4", r"gemma-?4", ("gemma4",), "gemma4"),
    Family("FunctionGemma", r"functiongemma", ("functiongemma",)),
    Family("InternLM", r"internlm", ("internlm",)),
    Family("Jamba", r"jamba", ("jamba",)),
    Family("xLAM", r"xlam", ("xlam",)),
    Family("Phi-4-mini", r"phi-?4-mini", ("phi4_mini_json",)),
    Family("Hunyuan A13B", r"hunyuan-a13b", ("hunyuan_a13b",), "hunyuan_a13b"),
    Family("Seed-OSS", r"seed-oss", ("seed_oss",), "seed_oss"),
    Family("ERNIE 4.5", r"ernie-?4\.5", ("ernie45",), "ernie45"),
    Family("OLMo 3", r"olmo-?3", ("olmo3",), "olmo3"),
    Family("Step-3", r"step-?3", ("step3",), "step3"),
)


def family_of(model: str) -> Family | None:
    """The model family according to the model's name; None when it is unknown."""
    name = model.lower().replace("_", "-")
    return next((family for family in FAMILIES if re.search(family.pattern, name)), None)


def tool_parser(block: VllmBlock) -> str | None:
    """The tool-call parser to start with: the block's, else its family's usual one, else none."""
    if block.tool_call_parser is not None:
        if block.tool_call_parser == NONE:
            return None
        return block.tool_call_parser
    family = family_of(block.model)
    if family and family.tools:
        return family.tools[0]
    return None


def reasoning_parser(block: VllmBlock) -> str | None:
    """The reasoning parser to start with: only one that was asked for."""
    if block.reasoning_parser == NONE:
        return None
    return block.reasoning_parser


def note_parsers(block: VllmBlock, findings: Findings) -> None:
    """Notes where a parser does not fit the model, or is missing without ``none``."""
    family = family_of(block.model)
    parser = block.tool_call_parser
    if parser is None and not (family and family.tools):
        problem = f"{block.title}: no known tool-call parser for {block.model}; it will answer without tool calls"
        hint = "add tool_call_parser: NAME (see vLLM's page on tool calling), or tool_call_parser: none"
        findings.note(NoteCode.VLLM_PARSER, block.path, problem, hint)
    elif parser not in (None, NONE) and family and family.tools and parser not in family.tools:
        problem = (
            f"{block.title}: the tool-call parser of {family.title} models is {' or '.join(family.tools)}, not {parser}"
        )
        hint = "with another parser, tool calls arrive as text" + (
            "" if parser in _known_tools() else "; check the spelling"
        )
        findings.note(NoteCode.VLLM_PARSER, (*block.path, "tool_call_parser"), problem, hint)
    reasoning = reasoning_parser(block)
    if reasoning and family and family.reasoning and reasoning != family.reasoning:
        problem = f"{block.title}: the reasoning parser of {family.title} models is {family.reasoning}, not {reasoning}"
        findings.note(NoteCode.VLLM_PARSER, (*block.path, "reasoning_parser"), problem, "use that one")


def _known_tools() -> set[str]:
    return {name for family in FAMILIES for name in family.tools}
