"""The smallest environment: one tool, and a reward of 1.0 for every rollout that gets to the end."""

from __future__ import annotations

from typing import Any, ClassVar

from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse, tool


class SingleToolCall(ResourcesServer):
    """Offers ``get_weather``; a real environment would look at ``body.response`` before it gives a reward."""

    stateless: ClassVar[bool] = True

    @tool
    async def get_weather(self, city: str) -> dict[str, Any]:
        """Return the weather in ``city``, which is always mild."""
        return {"city": city, "weather_description": f"It is mild and dry in {city}."}

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        """Reward 1.0, whatever the model did."""
        return VerifyResponse.of(body, reward=1.0)


if __name__ == "__main__":
    SingleToolCall.serve()
