"""What is measured: each case runs both sides in turn, several times, and yields one sample a run."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import machine, replicated, rows, sizes, twelve
from benchmarks.native import Load, backend, drive, set_delay
from benchmarks.sides import REPOSITORY, SERVICES, VLLM_MODEL, Side, Stack, rollout_servers, token_server

SLOW_MODEL_MS = 2000
TWELVE = "start of twelve servers"
TWELVE_AS_IS = "start of twelve servers, NeMo Gym with skip_venv_if_present"
CALLS_PER_ROLLOUT = 5  # one call is that much shorter than a rollout: measure as many more


@dataclass(frozen=True)
class Sample:
    """One run of one side: what was measured, under which name, and the machine's load before it."""

    case: str
    side: str
    values: Mapping[str, float]
    load: float = field(default_factory=machine.load)


@dataclass(frozen=True)
class Plan:
    """What to compare and how much of it."""

    sides: Sequence[Side]
    folder: Path
    backend_port: int
    count: int
    repeats: int
    concurrency: Sequence[int]
    delays_ms: Sequence[int]


@dataclass(frozen=True)
class Target:
    """Where a case sends its requests: a server of the stack, a path, bodies, and what a good answer contains."""

    server: str
    path: str
    bodies: Path
    expected: str
    unit: str
    measured: Sequence[str] = ()  # the servers whose CPU counts; all when empty


def rollouts(plan: Plan) -> Iterator[Sample]:
    """The agent driven directly, over concurrencies and model delays."""
    target = rollout_target(plan)
    with ExitStack() as stacks:
        running = start_stacks(plan, stacks)
        for delay in plan.delays_ms:
            set_delay(plan.backend_port, delay)
            for concurrency in plan.concurrency:
                label = f"rollouts, {concurrency:,} concurrent, {delay / 1000:g} s model"
                count = max(concurrency, min(plan.count, 8 * concurrency) if delay else plan.count)
                yield from in_turn(plan, _named(running), label, target, concurrency, count)
        set_delay(plan.backend_port, 0)


def all_in_one(plan: Plan) -> Iterator[Sample]:
    """The same with all of our servers in one process, compared with upstream's three."""
    target = rollout_target(plan)
    with ExitStack() as stacks:
        running = start_stacks(plan, stacks)
        for concurrency in plan.concurrency:
            yield from in_turn(
                plan, _named(running), f"all in one, {concurrency:,} concurrent", target, concurrency, plan.count
            )


def proxy(plan: Plan) -> Iterator[Sample]:
    """Model servers alone: ``openai_model``, and ``vllm_model`` with token ids."""
    bodies = rows.write(plan.folder / "responses.jsonl", rows.create_params)
    targets = {"openai_model, one call": Target("policy_model", "/v1/responses", bodies, '"output"', "call")}
    with_tokens = (SERVICES / "responses_api_models" / VLLM_MODEL / "app.py").exists()
    if with_tokens:
        targets["vllm_model with token ids, one call"] = Target(
            "training_model", "/v1/responses", bodies, '"generation_token_ids"', "call"
        )
    yield from _single_servers(plan, targets, with_tokens=with_tokens)


def verify(plan: Plan) -> Iterator[Sample]:
    """``/verify`` of the smallest resources server."""
    bodies = rows.write(plan.folder / "verify.jsonl", rows.to_verify)
    yield from _single_servers(plan, {"/verify": Target("environment", "/verify", bodies, '"reward"', "call")})


def startup(plan: Plan) -> Iterator[Sample]:
    """Start three servers, warm: time to the last one's first answer, CPU by then, memory."""
    with backend(plan.backend_port):
        for _ in range(plan.repeats):
            for side in plan.sides:
                with side.running(rollout_servers(plan.backend_port)) as stack:
                    yield Sample("start of three servers", side.name, _at_rest(stack))


def compose(plan: Plan) -> Iterator[Sample]:
    """Start twelve servers, warm: ours under Compose, images built; upstream's by itself, and at its fastest."""
    default = [replace(side, checks_venvs=side.is_upstream) for side in plan.sides]
    for side in default:
        twelve.prepare(side)
    for _ in range(plan.repeats):
        for side in default:
            values = twelve.start(side)
            yield Sample(TWELVE, side.name, values)
            if side.is_upstream:
                values = twelve.start(replace(side, checks_venvs=False))
            yield Sample(TWELVE_AS_IS, side.name, values)


def replicas(plan: Plan) -> Iterator[Sample]:
    """Rollouts with 1, 2 and 4 replicas of a verifier that needs 40 ms of a core; ours alone, under Compose."""
    side = next(side for side in plan.sides if not side.is_upstream)
    for title, limit in replicated.LIMITS.items():
        for number, values in replicated.measure(side, limit, plan.count, plan.repeats, plan.concurrency[0]):
            label = f"verifier of {replicated.VERIFY_MS} ms CPU{title}, {number} replica{'s' if number > 1 else ''}"
            yield Sample(label, side.name, values)


def stack_size(plan: Plan) -> Iterator[Sample]:
    """What the commands cost from 3 to 100 servers; ours alone, under Compose."""
    side = next(side for side in plan.sides if not side.is_upstream)
    for size, values in sizes.measure(side, plan.repeats):
        yield Sample(f"stack of {size} servers", side.name, values)


def collector(plan: Plan) -> Iterator[Sample]:
    """Each side's own collector against its own stack: time and CPU of the collector's process."""
    concurrency = plan.concurrency[0]
    source = plan.folder / "collect.jsonl"
    rows.write(source, lambda index: {k: v for k, v in rows.rollout(index).items() if k[0] != "_"}, plan.count)
    with ExitStack() as stacks:
        running = start_stacks(plan, stacks)
        for repeat in range(plan.repeats):
            for side, stack in running:
                output = plan.folder / f"{side.name}-{repeat}" / "rollouts.jsonl"
                output.parent.mkdir()
                label = f"collector, {concurrency:,} concurrent"
                yield Sample(label, side.name, _collect(side, stack, source, output, concurrency, plan.count))


def rollout_target(plan: Plan) -> Target:
    """The agent, with rows of the smallest environment."""
    bodies = rows.write(plan.folder / "rollouts.jsonl", rows.rollout)
    return Target("agent", "/run", bodies, '"reward":1', "rollout", ("agent", "policy_model", "environment"))


def start_stacks(plan: Plan, stacks: ExitStack, *, with_tokens: bool = False) -> list[tuple[Side, Stack]]:
    """The backend, and every side's servers against it, until ``stacks`` ends."""
    stacks.enter_context(backend(plan.backend_port))
    servers = rollout_servers(plan.backend_port)
    if with_tokens:
        servers.append(token_server(plan.backend_port))
    return [(side, stacks.enter_context(side.running(servers))) for side in plan.sides]


def _single_servers(plan: Plan, targets: Mapping[str, Target], *, with_tokens: bool = False) -> Iterator[Sample]:
    with ExitStack() as stacks:
        running = start_stacks(plan, stacks, with_tokens=with_tokens)
        for label, target in targets.items():
            for concurrency in plan.concurrency:
                full = f"{label}, {concurrency:,} concurrent"
                yield from in_turn(plan, _named(running), full, target, concurrency, CALLS_PER_ROLLOUT * plan.count)


def in_turn(
    plan: Plan,
    running: Iterable[tuple[str, Stack]],
    label: str,
    target: Target,
    concurrency: int,
    count: int,
    warm: int | None = None,
) -> Iterator[Sample]:
    """Drive every side in turn, as often as the plan says.

    Args:
        plan: how much to measure.
        running: the sides by name.
        label: the name of the samples.
        target: where requests go.
        concurrency: requests in flight.
        count: requests of one run.
        warm: requests to each side before anything counts; by default 200, or as many as are in flight.
    """
    sides = list(running)
    for _, stack in sides:  # connections opened and code warm on all sides before anything counts
        drive_once(stack, target, concurrency, warm or min(count, max(200, concurrency)))
    for _ in range(plan.repeats):
        for name, stack in sides:
            yield Sample(label, name, measured(stack, target, concurrency, count))


def _named(running: Sequence[tuple[Side, Stack]]) -> Iterable[tuple[str, Stack]]:
    return [(side.name, stack) for side, stack in running]


def measured(stack: Stack, target: Target, concurrency: int, count: int) -> dict[str, float]:
    """Drive one side: CPU of its servers and latencies in ms, requests per second, its peak memory in MB."""
    servers = {name: stack.processes(name) for name in target.measured or (target.server,)}
    everyone = sorted({pid for pids in servers.values() for pid in pids})
    before = {pid: machine.cpu_seconds([pid]) for pid in everyone}
    load = drive_once(stack, target, concurrency, count)
    spent = {pid: machine.cpu_seconds([pid]) - before[pid] for pid in everyone}
    values = {
        "cpu_ms": 1000 * sum(spent.values()) / count, "rate": load.rate, "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms, "seconds": load.seconds, "count": count, "failed": load.failed,
        "peak_mb": max(machine.peak_memory_mb(pid) for pid in servers[target.server]),
    }  # fmt: skip
    if len(everyone) > 1:
        values |= {f"cpu_ms {name}": 1000 * sum(spent[p] for p in pids) / count for name, pids in servers.items()}
    return values


def drive_once(stack: Stack, target: Target, concurrency: int, count: int) -> Load:
    """Send ``count`` of the target's bodies, ``concurrency`` at a time."""
    return drive(
        stack.ports[target.server],
        target.path,
        target.bodies,
        concurrency=concurrency,
        count=count,
        expected=target.expected,
        header=stack.header(target.server),
    )


def _at_rest(stack: Stack) -> dict[str, float]:
    cpu = machine.cpu_seconds(stack.family())
    time.sleep(1)
    servers = stack.processes()
    return {
        "seconds": stack.seconds, "cpu_s": cpu, "servers_cpu_s": machine.cpu_seconds(servers),
        "memory_mb": machine.memory_mb(stack.family()), "servers_memory_mb": machine.memory_mb(servers),
    }  # fmt: skip


def _collect(side: Side, stack: Stack, source: Path, output: Path, concurrency: int, count: int) -> dict[str, float]:
    if side.is_upstream:
        command = [
            str(side.python.parent / "ng_collect_rollouts"), "+agent_name=agent", f"+input_jsonl_fpath={source}",
            f"+output_jsonl_fpath={output}", f"+num_samples_in_parallel={concurrency}",
            "+head_server.host=127.0.0.1", f"+head_server.port={side.port}",
        ]  # fmt: skip
        job = None
    else:
        command = [str(side.python), "-m", "gymctl.rollouts.container_job"]
        run = {"input": str(source), "output": str(output), "concurrency": concurrency}
        job = json.dumps({"run": run, "urls": {"agent": f"http://127.0.0.1:{stack.ports['agent']}"}})
    started = time.monotonic()
    before = _children_cpu()
    subprocess.run(
        command, input=job, text=True, check=True, cwd=output.parent, capture_output=True,
        env=side.environment({"PYTHONPATH": str(REPOSITORY)}),
    )  # fmt: skip
    seconds = time.monotonic() - started
    written = len(output.read_bytes().splitlines())
    return {
        "seconds": seconds, "cpu_s": _children_cpu() - before, "rate": written / seconds,
        "failed": count - written, "count": count,
    }  # fmt: skip


def _children_cpu() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


CASES: dict[str, Callable[[Plan], Iterator[Sample]]] = {
    "rollouts": rollouts,
    "proxy": proxy,
    "verify": verify,
    "allinone": all_in_one,
    "startup": startup,
    "compose": compose,
    "collector": collector,
    "replicas": replicas,
    "stack-size": stack_size,
}
