"""After ``up``: whether the endpoints of the model servers answer, tried from where they will be called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gymctl.config import Config, ServerKind
from gymctl.engines.choice import engine_of
from gymctl.engines.protocol import Job
from gymctl.engines.state import StackState
from gymctl.errors import GymctlError
from gymctl.operations.hop_tokens import stored_tokens


def endpoint_notes(config: Config, state: StackState, directory: Path) -> Iterator[str]:
    """A sentence for each endpoint that does not answer its model server as it should.

    Servers that call a vLLM of the stack are skipped, because its health check has passed.
    """
    own = {url for block in config.vllm.values() for url in block.urls}
    urls = {
        server.name: server.address
        for server in state.servers
        if server.kind == ServerKind.MODEL.value and own.isdisjoint(config.servers[server.name].base_urls)
    }
    if not urls:
        return
    for name, problems in probe_servers(directory, urls).items():
        for problem in problems:
            yield f"{name}: {problem}"


def probe_servers(directory: Path, urls: dict[str, str]) -> dict[str, list[str]]:
    """What each model server of a directory's stack, by name and base URL, finds wrong with its endpoints.

    Empty when the servers could not be asked, which is not an error.
    """
    from gymctl.server.models.probe_job import ask_probes

    lines: list[str] = []
    with suppress(GymctlError):
        engine = engine_of(directory)
        tokens = {name: values[0] for name, values in stored_tokens(directory).items() if name in urls}
        if engine.serves_loopback():
            return ask_probes(urls, tokens)
        question = json.dumps({"urls": urls, "tokens": tokens})
        job = Job(command=("python", "-m", "gymctl.server.models.probe_job"), stdin=question)
        engine.run_job(job, lines.append)
    for line in reversed(lines):
        with suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
    return {}
