"""Rollouts of many tool calls, whose conversation grows: both sides in turn, with and without token ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks import rows
from benchmarks.cases import Plan, Sample, Target, in_turn
from benchmarks.native import backend, set_script
from benchmarks.sides import Server, rollout_servers, token_server

CONCURRENCY = 8


@dataclass(frozen=True)
class Shape:
    """A kind of rollout: tool calls, bytes of padding in each, and how many make one run."""

    label: str
    steps: int
    padding: int
    count: int


# A call's padding is in its arguments and in the tool's answer, so it is in the conversation twice.
SHAPES = (Shape("40 tool calls to 100 KB", 40, 1050, 64), Shape("150 tool calls to 1 MB", 150, 3150, 16))


def long_rollouts(plan: Plan) -> Iterator[Sample]:
    """The agent driven directly with an endpoint that calls a tool many times, over both model servers."""
    bodies = rows.write(plan.folder / "rollouts.jsonl", rows.rollout)
    with ExitStack() as stacks:
        stacks.enter_context(backend(plan.backend_port))
        servers = [*rollout_servers(plan.backend_port), token_server(plan.backend_port), _token_agent()]
        running = [(side.name, stacks.enter_context(side.running(servers))) for side in plan.sides]
        for shape in SHAPES:
            set_script(plan.backend_port, shape.steps, shape.padding)
            for agent, model, kind in (
                ("agent", "policy_model", ""),
                ("token_agent", "training_model", ", with token ids"),
            ):
                target = Target(agent, "/run", bodies, '"reward":1', "rollout", (agent, model, "environment"))
                yield from in_turn(
                    plan, running, f"{shape.label}{kind}", target, CONCURRENCY, shape.count, warm=CONCURRENCY
                )


def _token_agent() -> Server:
    agent = rollout_servers(0)[-1]
    return replace(agent, name="token_agent", fields=agent.fields.replace("policy_model", "training_model"))
