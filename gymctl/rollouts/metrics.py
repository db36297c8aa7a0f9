"""Aggregate metrics: each agent is asked for its own view of its results, as upstream does (0.3 and later)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from gymctl.config import exact_json
from gymctl.rollouts.fields import AGENT_REF, PARAMS, ROLLOUT_INDEX, TASK_INDEX
from gymctl.rollouts.files import replacing
from gymctl.server.calls.client import HopFailed
from gymctl.server.metrics import baseline_metrics

if TYPE_CHECKING:
    from gymctl.server.calls.client import Client

MOST_S = 120.0  # for an agent to answer
# A field's text of up to so many bytes goes along: labels and extracted answers do (majority votes need them),
# transcripts do not.
_FIELD_BYTES = 256

Stripped = dict[tuple[int, int], bytes]


class _Response(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_response = msgspec.json.Decoder(_Response)


@dataclass
class AgentMetrics:
    """What was written, and notes for the user (an agent that did not answer)."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def strip_results(output: Path) -> dict[str, Stripped]:
    """Results by agent without their heavy parts: some hundred bytes each. Of duplicates the first counts."""
    by_agent: dict[str, Stripped] = {}
    with output.open("rb", buffering=1 << 20) as lines:
        for line in lines:
            try:
                fields = {name: bytes(value) for name, value in _fields.decode(line).items() if name != PARAMS}
                key = (int(fields[TASK_INDEX]), int(fields[ROLLOUT_INDEX]))
                agent: str = orjson.loads(fields[AGENT_REF])["name"]
            except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
                continue  # not a result of ours
            by_agent.setdefault(agent, {}).setdefault(key, _strip(fields))
    return by_agent


def _strip(fields: dict[str, bytes]) -> bytes:
    parts = [
        b"%b:%b" % (orjson.dumps(name), value)
        for name, value in fields.items()
        if name != "response" and len(value) <= _FIELD_BYTES
    ]
    try:
        usage = bytes(_response.decode(fields.get("response", b"{}")).usage)
    except msgspec.MsgspecError:
        usage = b"null"
    if usage != b"null":
        parts.append(b'"response":{"usage":%b}' % usage)
    return b"{" + b",".join(parts) + b"}"


async def aggregate(
    output: Path, target: Path, client: Client, *, ask: bool = True, deadline_s: float = MOST_S
) -> AgentMetrics:
    """Ask every agent for ``/aggregate_metrics`` over its results and write the list of their answers.

    An agent that does not answer it (upstream's before 0.3, or one that is down) gets the baseline, computed here, and
    a note, as one does that takes longer than ``deadline_s``. Without ``ask`` none is asked.

    Raises:
        RunError: ``target`` could not be written.
    """
    metrics = AgentMetrics()
    for name, stripped in sorted(strip_results(output).items()):
        rows = [stripped[key] for key in sorted(stripped)]
        answer = await _ask(client, name, rows, metrics.notes, min(deadline_s, MOST_S)) if ask else None
        answer = answer or baseline_metrics([exact_json.loads(row) for row in rows])
        parts = ("agent_metrics", "key_metrics", "group_level_metrics")
        metrics.entries.append({AGENT_REF: {"name": name}, **{part: answer.get(part) for part in parts}})
    with replacing(target) as out:
        out.write(msgspec.json.format(exact_json.dumps(metrics.entries), indent=2) + b"\n")
    return metrics


async def _ask(client: Client, name: str, rows: list[bytes], notes: list[str], seconds: float) -> dict[str, Any] | None:
    body = b'{"verify_responses":[' + b",".join(rows) + b"]}"
    try:
        reply = await client.ask(name, "/aggregate_metrics", body, deadline=time.monotonic() + seconds)
        answer = reply.json()
    except HopFailed as error:
        notes.append(f"{error.message[:300]}: its metrics are the baseline, computed here")
        return None
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("agent_metrics"), dict):
        return answer
    notes.append(f"{name}: /aggregate_metrics did not answer metrics: they are the baseline, computed here")
    return None
