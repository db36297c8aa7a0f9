"""State that belongs to one rollout: every session has a counter of its own, which the tools change and read."""

from __future__ import annotations

from typing import Any

from gymctl.server import ResourcesServer, SeedRequest, Session, VerifyRequest, VerifyResponse, tool


class CounterSeed(SeedRequest):
    """The row's field that the session starts from."""

    initial_count: int


class CounterVerify(VerifyRequest):
    """The row's field that the counter is compared with at the end."""

    expected_count: int


class SessionStateMgmt(ResourcesServer):
    """``session.state`` lives on the server as long as the rollout; the agent carries only the session's cookie."""

    async def seed_session(self, body: CounterSeed, session: Session) -> None:
        """Start the counter at the row's value."""
        session.state["count"] = body.initial_count

    @tool
    async def increment_counter(self, count: int, session: Session) -> dict[str, Any]:
        """Add ``count`` (which may be negative) to this session's counter."""
        session.state["count"] = session.state.get("count", 0) + count
        return {"success": True}

    @tool
    async def get_counter_value(self, session: Session) -> dict[str, Any]:
        """Read this session's counter."""
        return {"count": session.state.get("count", 0)}

    async def verify(self, body: CounterVerify, session: Session) -> VerifyResponse:
        """Reward 1.0 when the counter ended where the row expects it; a session that was never seeded gets 0.0."""
        return VerifyResponse.of(body, reward=float(session.state.get("count") == body.expected_count))


if __name__ == "__main__":
    SessionStateMgmt.serve()
