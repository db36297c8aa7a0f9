"""The endpoints of running model servers: replace them, and show what was set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl.engines.choice import engine_of
from gymctl.engines.protocol import Job
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import StackState, load_state
from gymctl.errors import EngineError, InputError
from gymctl.operations.endpoint_probes import probe_servers
from gymctl.operations.hop_tokens import stored_token
from gymctl.operations.policy_token import stored_policy_token


@dataclass(frozen=True, kw_only=True)
class PolicyList:
    """The endpoints that were set for one model server."""

    server: str
    urls: tuple[str, ...]
    """Base URLs of the endpoints."""
    weight_version: str
    """Version of the weights that they serve; empty where it was not given."""
    revision: int
    """Grows with every change."""
    processes: int
    """Processes of the model server, all replicas together."""
    late: int
    """How many of them do not use this list yet."""
    notes: tuple[str, ...] = ()
    """Endpoints that do not answer the model server as they should."""


def set_policy(
    urls: Sequence[str],
    *,
    server: str | None = None,
    weight_version: str = "",
    probe: bool = True,
    directory: Path | None = None,
) -> PolicyList:
    """Replace the endpoints of a running model server, and wait until all its processes use them.

    A session stays on its endpoint as long as that is listed. Calls in progress at a removed endpoint are repeated
    at another one. The next ``up`` that restarts the server resets it to its configuration.

    Args:
        urls: base URLs of interchangeable endpoints.
        server: the model server; by default ``policy_model``, or the only one.
        weight_version: version of the weights that the endpoints serve, kept in the metadata of responses.
        probe: try the new endpoints once, and note those that do not answer.
        directory: where the stack was brought up; by default the working directory.

    Raises:
        InputError: no stack was brought up there, a URL is wrong, or the server's endpoints cannot be replaced.
        EngineError: the head does not answer, or a process did not confirm the list in time.
    """
    directory = stack_directory(directory)
    state = load_state(directory)
    addresses = [_address(url, state) for url in urls]
    answer = _ask(directory, state, {"urls": addresses, "server": server, "weight_version": weight_version})
    if answer["late"]:
        raise EngineError(
            f"{answer['late']} of {answer['processes']} processes of {answer['server']} have not confirmed the change",
            "run `gymctl policy show` to check again, and `gymctl status` to see the state of the server",
        )
    notes: Sequence[str] = ()
    if probe:
        models = {item.name: item.address for item in state.servers if item.name == answer["server"]}
        notes = probe_servers(directory, models).get(answer["server"], [])
    return PolicyList(
        server=answer["server"],
        urls=tuple(addresses),
        weight_version=weight_version,
        revision=answer["revision"],
        processes=answer["processes"],
        late=0,
        notes=tuple(notes),
    )


def show_policy(directory: Path | None = None) -> list[PolicyList]:
    """The endpoints that were set since the stack was started, by model server; none where nothing was set.

    Raises:
        InputError: no stack was brought up there, or none of its model servers' endpoints can be set.
        EngineError: the head does not answer.
    """
    directory = stack_directory(directory)
    answer = _ask(directory, load_state(directory), None)
    return [PolicyList(**{**entry, "urls": tuple(entry["urls"])}) for entry in answer]


def _address(url: str, state: StackState) -> str:
    """An endpoint as the model server calls it: containers reach this machine under another name."""
    from gymctl.stack.slices.host_gateway import GATEWAY, reroute_address

    if state.engine == "local":
        return url
    return reroute_address(url, GATEWAY) or url


def _ask(directory: Path, state: StackState, change: dict[str, Any] | None) -> Any:
    """The value of the head's answer.

    Raises:
        InputError: the head refuses the request.
        EngineError: it does not answer.
    """
    from gymctl.server.models.policy_job import ask_head

    token = stored_policy_token(directory)
    if not token:
        raise InputError(
            f"the stack {state.name} has no policy token, so its endpoints cannot be set",
            "use openai_model, azure_openai_model or vllm_model; "
            "if an older gymctl started the stack, run `gymctl up` again",
        )
    hop_token = stored_token(directory)
    status, value = ask_head(state.head_url, token, change, hop_token)
    if status == 0 and state.engine == "swarm":  # its head may be published nowhere
        question = {"url": state.head_url, "token": token, "change": change, "hop_token": hop_token}
        status, value = _ask_in_a_job(directory, question)
    if status == 200:
        return value
    if status in (403, 422):
        raise InputError(_detail(value))
    if status == 401:
        raise InputError("the head refuses the policy token of this directory", "run `gymctl up` again")
    raise EngineError(f"the head at {state.head_url} does not answer: {_detail(value)}", "see `gymctl logs head`")


def _ask_in_a_job(directory: Path, question: dict[str, Any]) -> tuple[int, Any]:
    lines: list[str] = []
    job = Job(command=("python", "-m", "gymctl.server.models.policy_job"), stdin=json.dumps(question))
    engine_of(directory).run_job(job, lines.append)
    for line in reversed(lines):
        with suppress(ValueError, TypeError):
            status, value = json.loads(line)
            return int(status), value
    return 0, "\n".join(lines)


def _detail(value: Any) -> str:
    """The message of a refusal: its ``detail``, which is a list of problems for invalid values."""
    if isinstance(value, dict):
        detail = value.get("detail", value)
    else:
        detail = value
    if isinstance(detail, list):
        return "; ".join(str(problem.get("msg", problem)) for problem in detail if isinstance(problem, dict))
    return str(detail)
