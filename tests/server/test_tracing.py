"""Which servers measure a traced request, and what they return and pass on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from gymctl.server import (
    AgentServer,
    Call,
    Client,
    LocalTransport,
    ModelServer,
    Reply,
    ResourcesServer,
    VerifyRequest,
    VerifyResponse,
    tool,
)
from gymctl.server.rollout_context import begin_trace
from gymctl.server.run.log_lines import rollout_fields
from gymctl.server.settings import settings_from_mapping
from gymctl.server.span_header import MeasuredSpan, read_spans
from gymctl.server.tracing import CallRecorder, TraceContext, child_id, current_recorder, recording

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"
PLACE = {"entrypoint": "app.py", "host": "127.0.0.1", "port": 1}
WHOLE = {
    "policy": {"responses_api_models": {"fixed": {**PLACE}}},
    "weather": {"resources_servers": {"weather": {**PLACE}}},
    "asker": {
        "responses_api_agents": {
            "asker": {
                **PLACE,
                "resources_server": {"type": "resources_servers", "name": "weather"},
                "model_server": {"type": "responses_api_models", "name": "policy"},
            }
        }
    },
}
ROW = b'{"responses_create_params": {"input": "hi", "tools": [{"type": "function", "name": "forecast"}]}}'


class Fixed(ModelServer):
    async def responses(self, params: dict[str, Any], session: Any) -> dict[str, Any]:
        return {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [],
                "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed"}  # fmt: skip


class Weather(ResourcesServer):
    @tool
    def forecast(self, city: str = "") -> str:
        if city == "nowhere":
            raise RuntimeError("no such city")
        return "sunny"

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        if "judge" in body.model_dump_json():
            await self.client.post("policy", "/v1/responses", b'{"input": "judge"}')
        return VerifyResponse.of(body, reward=1.0)


class Asker(AgentServer):
    async def respond(self, params: dict[str, Any], rollout: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await rollout.model(params)
        await rollout.tool("forecast", {"city": params["input"]})
        return answer


class SeenCalls(LocalTransport):
    """Within one process, as over HTTP: a call names its trace, and nothing else does."""

    def __init__(self, servers: dict[str, Any]) -> None:
        super().__init__(servers)
        self.servers = servers
        self.seen: dict[str, str] = {}

    async def send(self, server: str, call: Call) -> Reply:
        self.seen[call.path] = call.traceparent
        return await super().send(server, call)


def stack() -> tuple[Asker, SeenCalls]:
    servers: dict[str, Any] = {}
    transport = SeenCalls(servers)
    client = Client(transport)
    for name, cls in (("policy", Fixed), ("weather", Weather), ("asker", Asker)):
        servers[name] = cls(settings_from_mapping(WHOLE, name), client)
    return servers["asker"], transport


def run(traceparent: str, body: bytes = ROW) -> tuple[Reply, dict[str, str]]:
    agent, transport = stack()
    reply = asyncio.run(agent.handle(Call("/run", body, traceparent=traceparent)))
    return reply, transport.seen


def spans_of(reply: Reply) -> MeasuredSpan:
    assert reply.spans is not None
    span = read_spans(reply.spans.header)
    assert span is not None
    return span


def shape(span: MeasuredSpan) -> Any:
    return {f"{span.server}{span.path}": [shape(child) for child in span.children]}


def test_without_a_trace_nothing_is_measured() -> None:
    reply, seen = run("")
    assert reply.status == 200 and reply.spans is None
    assert set(seen.values()) == {""}


def test_of_a_sampled_trace_every_server_measures() -> None:
    reply, seen = run(SAMPLED)
    span = spans_of(reply)
    agent_id = child_id(0x00F067AA0BA902B7, 0)
    assert seen["/seed_session"] == f"00-{TRACE}-{child_id(agent_id, 0):016x}-01"
    assert seen["/verify"] == f"00-{TRACE}-{child_id(agent_id, 3):016x}-01"
    hops = ["weather/seed_session", "policy/v1/responses", "weather/forecast", "weather/verify"]
    assert shape(span) == {"asker/run": [{hop: [{hop: []}]} for hop in hops]}
    for call in span.children:
        (own,) = call.children
        assert 0 <= own.duration_us <= call.duration_us
        assert call.start_us + call.duration_us <= span.duration_us + 1
        assert own.outcome == call.outcome == "200"


def test_of_any_other_trace_the_agent_measures() -> None:
    reply, seen = run(UNSAMPLED, ROW.replace(b"hi", b"judge"))
    hops = ["weather/seed_session", "policy/v1/responses", "weather/forecast", "weather/verify"]
    assert shape(spans_of(reply)) == {"asker/run": [{hop: []} for hop in hops]}
    assert seen["/seed_session"] == seen["/verify"] == UNSAMPLED  # passed on: nothing below makes spans


def test_calls_of_a_callee_are_below_it() -> None:
    reply, _ = run(SAMPLED, ROW.replace(b"hi", b"judge"))
    verify = spans_of(reply).children[-1]
    judge: list[Any] = [{"policy/v1/responses": [{"policy/v1/responses": []}]}]
    assert shape(verify) == {"weather/verify": [{"weather/verify": judge}]}


def test_a_failed_call_is_measured_and_named() -> None:
    reply, _ = run(UNSAMPLED, ROW.replace(b"hi", b"nowhere"))
    assert [call.outcome for call in spans_of(reply).children] == ["200", "200", "500", "200"]


def test_a_failed_rollout_has_spans_too() -> None:
    agent, transport = stack()
    del transport.servers["policy"]
    reply = asyncio.run(agent.handle(Call("/run", ROW, traceparent=UNSAMPLED)))
    assert reply.status == 502
    span = spans_of(reply)
    assert (span.outcome, [call.outcome for call in span.children]) == ("502", ["200", "connect"])


def test_a_recorder_is_bounded() -> None:
    class Answering:
        async def send(self, server: str, call: Call) -> Reply:
            return Reply(200)

    async def work() -> CallRecorder:
        recorder = CallRecorder(TraceContext(TRACE, 1, is_sampled=True))
        with recording(recorder):
            for _ in range(1000):
                await Client(Answering()).post("a", "/b", b"")  # type: ignore[arg-type]
        return recorder

    recorder = asyncio.run(work())
    assert len(recorder.calls) + recorder.uncounted == 1000
    assert len(recorder.calls) <= 200
    assert current_recorder() is None


def test_ids_of_a_tree_differ() -> None:
    ids = [1]
    for depth in range(3):
        ids += [child_id(parent, number) for parent in ids[-(12**depth) :] for number in range(12)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        (SAMPLED, True),
        (f"01-{TRACE}-00f067aa0ba902b7-09", True),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", False),
        (SAMPLED + "\n", False),
        (SAMPLED + "-x", False),
        ("", False),
    ],
)
def test_a_traceparent_is_taken_only_if_it_is_one(value: str, is_taken: bool) -> None:
    async def work() -> tuple[str, dict[str, str]]:
        return begin_trace(value.encode()), rollout_fields()

    taken, _ = asyncio.run(work())
    assert taken == (value if is_taken else "")


def test_log_lines_name_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    from gymctl.server.rollout_context import RolloutContext, in_rollout

    async def work() -> dict[str, str]:
        begin_trace(SAMPLED.encode())
        with in_rollout(RolloutContext("ab12", "3:0")):
            logging.getLogger("gymctl").info("x")
            return rollout_fields()

    assert asyncio.run(work()) == {"run": "ab12", "rollout": "3:0", "trace": TRACE}
