"""The bundled simple agent, writing down when a rollout begins, and when its result or a failure leaves.

A line of the log (``KILL_MATRIX_LOG``): ``b``, ``e`` or ``f``, seconds of the machine's monotonic clock, run, task,
repeat. A rollout that is dropped or dies with the agent has no other line than ``b``.
"""

from __future__ import annotations

import os
import time

import orjson

from gymctl import assets
from gymctl.server import AgentServer, Call, Reply, Session
from gymctl.server.endpoints import endpoint
from gymctl.server.run.loader import load_server_class

SimpleAgent: type[AgentServer] = load_server_class(
    assets.folder("services") / "responses_api_agents" / "simple_agent", "app.py"
)


class CountingAgent(SimpleAgent):  # type: ignore[valid-type, misc]
    """Appends to the log in one write each, so that a kill leaves whole lines."""

    async def startup(self) -> None:
        """Open the log."""
        self._log = os.open(os.environ["KILL_MATRIX_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @endpoint("/run")
    async def run(self, call: Call, session: Session) -> Reply:
        """As the simple agent's."""
        row = orjson.loads(call.body)
        who = f"{row['run']} {row['_ng_task_index']} {row['_ng_rollout_index']}"
        self._note("b", who)
        try:
            reply = await super().run(call, session)
        except Exception:
            self._note("f", who)
            raise
        self._note("e" if reply.status == 200 else "f", who)
        return reply

    def _note(self, event: str, who: str) -> None:
        os.write(self._log, f"{event} {time.monotonic():.4f} {who}\n".encode())


if __name__ == "__main__":
    CountingAgent.serve()
