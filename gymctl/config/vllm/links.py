"""Model servers and the ``vllm:`` blocks they call: ``base_url`` and ``model`` follow from the block.

A model server says ``vllm: NAME`` in its entry. One of ``vllm_model`` that has no ``base_url``, or whose ``base_url``
is an interpolation of a key that nobody set (as in NeMo Gym's own configuration files), takes the only block there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, NoteCode, dotted
from gymctl.config.nested import follow, value_at, with_value
from gymctl.config.upstream import SELF_SERVING_FIELDS, SELF_SERVING_MODEL
from gymctl.config.vllm.families import family_of, note_parsers, reasoning_parser
from gymctl.config.vllm.served_model import VLLM_KEY, VLLM_PORT, VllmBlock, is_single
from gymctl.config.vocabulary import MISSING, ServerKind, is_server_entry
from gymctl.config.wording import suggestion

Links = dict[KeyPath, str]  # of a model server's fields -> the name of its block; '' where there is one without a name

_MODEL_KEYS = ("model", "model_name")
_FOLLOWING = ("base_url", "api_key", *_MODEL_KEYS)
# Of a server whose block has problems of its own, so that what follows from it is not reported as missing too.
_PLACEHOLDERS = {"base_url": f"http://{VLLM_KEY}:{VLLM_PORT}/v1", "api_key": "", "model": "", "model_name": ""}
NO_KEY = "EMPTY"  # the API key for a vLLM that requires none, as in vLLM's own examples


def detach(raw: Mapping[str, Any], findings: Findings) -> tuple[dict[str, Any], Links]:
    """Find the servers that call a block; a copy of ``raw`` without those of their fields that follow from it.

    It is done before interpolations are resolved: one that the block makes needless may lead nowhere.
    """
    if is_server_entry(VLLM_KEY, raw.get(VLLM_KEY)):
        written = None
    else:
        written = raw.get(VLLM_KEY)
    detached = dict(raw)
    links: Links = {}
    for path, fields in _model_servers(raw):
        named = fields.get(VLLM_KEY)
        if named is None and _calls_endpoint(fields, path, raw):
            detached = _with_vllm_model(detached, path, links, findings, "base_url is set, so it starts no vLLM")
        if named is None and not _takes_only_block(fields, path, written, raw):
            continue
        if named is None:
            named = _only_block(written, path, findings)
        if named is not None and _is_allowed(named, path, written, findings):
            if "" in named_blocks(written):
                links[path] = ""
            else:
                links[path] = named
        detached = with_value(detached, path, _own_fields(fields, raw))
        if path[-1] == SELF_SERVING_MODEL:
            detached = _with_vllm_model(detached, path, links, findings, "the vllm block starts vLLM")
    return detached, links


def _own_fields(fields: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that do not follow from the block."""
    own = dict(fields)
    for key in _FOLLOWING:
        if key in own and (key == "base_url" or _is_open(own[key], raw)):
            del own[key]
    return own


def _with_vllm_model(
    detached: dict[str, Any], path: KeyPath, links: Links, findings: Findings, reason: str
) -> dict[str, Any]:
    """A copy in which ``vllm_model`` takes the place of a server that need not start vLLM itself, for that reason."""
    place = (*path[:-1], "vllm_model")
    findings.origins.graft(path, place)
    message = f"{path[0]}: vllm_model replaces {path[-1]}; {reason}"
    hint = f"its {' and '.join(SELF_SERVING_FIELDS[:2])} are not read"
    findings.note(NoteCode.RENAMED, place, message, hint)
    if path in links:
        links[place] = links.pop(path)
    fields = {key: value for key, value in value_at(detached, path).items() if key not in SELF_SERVING_FIELDS}
    return with_value(detached, place[:-1], {place[-1]: fields})


def _calls_endpoint(fields: Mapping[str, Any], path: KeyPath, raw: Mapping[str, Any]) -> bool:
    """Whether a server that would start vLLM has the URL of an endpoint instead; then it is only its base class."""
    if path[-1] != SELF_SERVING_MODEL or "at" in fields or "at" in raw[str(path[0])]:
        return False
    return not _is_open(fields.get("base_url"), raw)


def _takes_only_block(fields: Mapping[str, Any], path: KeyPath, written: Any, raw: Mapping[str, Any]) -> bool:
    """Whether a server that names no block calls the only one: ``vllm_model`` without a ``base_url``, or its like."""
    if written is None or "at" in fields or "at" in raw[str(path[0])]:
        return False
    return path[-1] in ("vllm_model", SELF_SERVING_MODEL) and _is_open(fields.get("base_url"), raw)


def attach(
    resolved: Mapping[str, Any], links: Links, blocks: Mapping[str, VllmBlock], findings: Findings
) -> dict[str, Any]:
    """A copy of ``resolved`` in which linked servers have their URLs and the model's name.

    What does not go together becomes problems and notes.
    """
    attached = dict(resolved)
    for path, name in links.items():
        block = blocks.get(name)
        own = value_at(resolved, path)
        if block is None:
            fields = {**own, **_PLACEHOLDERS}
        else:
            fields = _with_block(own, path, block, findings)
        attached = with_value(attached, path, fields)
    for block in blocks.values():
        note_parsers(block, findings)
        if block.name not in links.values():
            hint = f"add `vllm: {block.name or VLLM_KEY}` to a vllm_model, or remove the block"
            findings.note(NoteCode.VLLM_UNUSED, block.path, f"no model server calls {block.title}", hint)
    _check_names(resolved, blocks, findings)
    return attached


def _with_block(own: Mapping[str, Any], path: KeyPath, block: VllmBlock, findings: Findings) -> dict[str, Any]:
    fields = {"api_key": NO_KEY, **own, "base_url": block.urls[0] if len(block.urls) == 1 else list(block.urls)}
    key = next((key for key in _MODEL_KEYS if fields.get(key) is not None), None)
    if key is None:
        fields["model"] = block.served_name
    elif fields[key] != block.served_name:
        problem = f"{path[0]} requests the model {fields[key]!r}, but {block.title} serves {block.served_name!r}"
        hint = f"remove {key}, or set {block.title}.served_model_name to the same name"
        findings.problem((*path, key), problem, hint)
    _check_reasoning(fields, path, block, findings)
    return fields


def _check_names(resolved: Mapping[str, Any], blocks: Mapping[str, VllmBlock], findings: Findings) -> None:
    """No service of a block has the name of a server or of another block's service; names ignore case."""
    taken = {str(name).lower(): "a server" for name, value in resolved.items() if is_server_entry(name, value)}
    for block in blocks.values():
        for name in (*block.services, *([block.prefetch_service] if block.prefetch else [])):
            if name in taken:
                problem = f"{block.title} has a service {name}, which is also the name of {taken[name]}"
                findings.problem(block.path, problem, "rename one")
            taken[name] = f"one of {block.title}"


def _model_servers(raw: Mapping[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    kind = ServerKind.MODEL.value
    for name, value in raw.items():
        if is_server_entry(name, value) and isinstance(value.get(kind), dict):
            for implementation, fields in value[kind].items():
                if isinstance(fields, dict):
                    yield (name, kind, implementation), fields


def named_blocks(written: Any) -> dict[str, Any]:
    """The blocks under ``vllm:`` by name; '' is the name of a single one."""
    if not isinstance(written, dict):
        return {}
    if is_single(written):
        return {"": written}
    return {str(name): block for name, block in written.items()}


def _only_block(written: Any, path: KeyPath, findings: Findings) -> str | None:
    """The block that a server without `vllm` calls; None when there are several blocks, or none."""
    names = [name or VLLM_KEY for name in named_blocks(written)]
    if len(names) > 1:
        problem = f"{path[0]} has no base_url, but there are {len(names)} vllm blocks"
        findings.problem(path, problem, f"add `vllm: {names[0]}` to it, or one of: {', '.join(names[1:])}")
    if len(names) == 1:
        return names[0]
    return None


def _is_allowed(named: Any, path: KeyPath, written: Any, findings: Findings) -> bool:
    """Whether a server may name this block; if not, a problem is added."""
    place = (*path, VLLM_KEY)
    title = dotted((path[0], VLLM_KEY))
    known = [name or VLLM_KEY for name in named_blocks(written)]
    if path[-1] == "openai_model":
        findings.problem(place, f"{title}: openai_model cannot use a vllm block", "use vllm_model")
    elif not known:
        hint = "add one at the top level: vllm: {model: ORGANISATION/NAME}"
        findings.problem(place, f"{title}: the configuration has no vllm block", hint)
    elif named not in known:
        hint = suggestion(named, known)
        findings.problem(place, f"{title}: unknown vllm block {named!r}", hint)
    else:
        return True
    return False


def _is_open(value: Any, raw: Mapping[str, Any]) -> bool:
    """Whether a value was left to be filled in: nothing, ``???``, or a plain interpolation that leads to neither."""
    target = follow(value, raw)
    return target in (None, "", MISSING, []) or (
        isinstance(target, str) and target.startswith("${") and target == value
    )


def _check_reasoning(fields: Mapping[str, Any], path: KeyPath, block: VllmBlock, findings: Findings) -> None:
    """Who takes the thoughts out of an answer: vLLM's parser, or the model server that looks for ``<think>``."""
    parser = reasoning_parser(block)
    is_used = fields.get("uses_reasoning_parser")
    family = family_of(block.model)
    if parser and is_used is False:
        problem = f"{path[0]}: uses_reasoning_parser is false, but {block.title} has reasoning_parser: {parser}"
        hint = "set it to true, or remove the parser: the model server finds <think> itself"
        findings.problem((*path, "uses_reasoning_parser"), problem, hint)
    elif is_used and not parser and family and family.opens_thoughts and block.reasoning_parser is None:
        problem = (
            f"{block.title}: the chat template of {family.title} models opens <think>, so answers "
            "contain only the closing tag"
        )
        hint = (
            f"add reasoning_parser: {family.reasoning}, or reasoning stays in the text ({path[0]} looks for both tags)"
        )
        findings.note(NoteCode.VLLM_PARSER, block.path, problem, hint)
