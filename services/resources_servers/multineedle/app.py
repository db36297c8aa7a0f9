"""Several needles in a long text: find those a question is about, look their values up, hand them all in, in order."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

from pydantic import Field

from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse, tool
from gymctl.server.responses import call_arguments, function_calls, last_arguments


class NeedleVerify(VerifyRequest):
    """The row's fields: the needles that the question is about, in the text's order, and the others in the text."""

    needles: list[str]
    decoys: list[str] = Field(default_factory=list)


class Multineedle(ResourcesServer):
    """Two tools, and a reward for exactly the right values."""

    stateless: ClassVar[bool] = True

    @tool
    async def get_needle_value(self, needle: str) -> dict[str, Any]:
        """Return the value of a needle. Every name has a value, so that wrong names are not revealed."""
        return {"value": value_of(needle)}

    @tool
    async def submit_needle_values(self, values: list[int]) -> dict[str, Any]:
        """Submit the values; ``verify`` reads them from the call itself."""
        return {"received": len(values)}

    async def verify(self, body: NeedleVerify) -> VerifyResponse:
        """Reward 1.0 when the last list handed in holds the value of every needle, in order, and nothing else."""
        expected = [value_of(needle) for needle in body.needles]
        handed_in = last_arguments(body.response, "submit_needle_values").get("values")
        if isinstance(handed_in, list):
            parsed = [value for value in handed_in if type(value) is int]
        else:
            parsed = []
        calls = [
            call for call in function_calls(body.response.get("output") or ()) if call.get("name") == "get_needle_value"
        ]
        looked_up = {str(call_arguments(call).get("needle")) for call in calls}
        of_decoys = {value_of(decoy) for decoy in body.decoys} - set(expected)
        return VerifyResponse.of(
            body,
            reward=float(bool(expected) and handed_in == expected),
            parsed_values=parsed,
            share_found=len(set(parsed) & set(expected)) / len(set(expected)) if expected else 0.0,
            wrong_order=parsed != expected and sorted(parsed) == sorted(expected),
            decoy_hit=bool(looked_up & set(body.decoys) or of_decoys & set(parsed)),
        )


def value_of(needle: str) -> int:
    """From 1000 to 9999; a model cannot work it out, it has to ask."""
    return 1000 + zlib.crc32(needle.strip().casefold().encode()) % 9000


if __name__ == "__main__":
    Multineedle.serve()
