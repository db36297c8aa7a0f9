"""An environment whose every rollout earns a known reward, unless something of it was lost on the way.

The row's number is kept in the session; the tool returns the word in the box of that number, which the answer must be.
"""

from __future__ import annotations

from typing import Any

from gymctl.server import ResourcesServer, SeedRequest, Session, VerifyRequest, VerifyResponse, tool
from gymctl.server.responses import output_text


class BoxSeed(SeedRequest):
    """The row's box."""

    number: int


class BoxVerify(VerifyRequest):
    """The row's box."""

    number: int


class Boxes(ResourcesServer):
    """Zero is earned by a rollout that lost its session, its tool's answer or its own; no whole one earns it."""

    async def seed_session(self, body: BoxSeed, session: Session) -> None:
        """Put the box into the session."""
        session.state["number"] = body.number

    @tool
    async def open_box(self, session: Session) -> dict[str, Any]:
        """Return the word in the session's box."""
        session.state["opened"] = True
        return {"word": f"word-{session.state.get('number')}"}

    async def verify(self, body: BoxVerify, session: Session) -> VerifyResponse:
        """A quarter to one, by the number, for a box that was opened and told rightly."""
        whole = session.state.get("number") == body.number and session.state.get("opened") is True
        right = output_text(body.response) == f"word-{body.number}"
        return VerifyResponse.of(body, reward=(1 + body.number % 4) / 4 if whole and right else 0.0)


if __name__ == "__main__":
    Boxes.serve()
