"""A task with several steps: query the value of each word of a topic, then submit all values in order."""

from __future__ import annotations

from typing import Any, ClassVar

from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse, tool
from gymctl.server.responses import last_arguments


class MultiStepVerify(VerifyRequest):
    """The row's fields the answer is compared with. The minefield is the topic's own name, not to be looked up."""

    id: int | str
    expected_synonyms: list[str]
    expected_synonym_values: list[int]
    minefield_label: str
    minefield_label_value: int


class MultiStep(ResourcesServer):
    """Two tools, and a reward that looks only at what was handed in last."""

    stateless: ClassVar[bool] = True

    @tool
    async def get_synonym_value(self, synonym: str) -> dict[str, Any]:
        """Return the value of a word: the sum of the code points of its characters."""
        return {"synonym_value": sum(map(ord, synonym))}

    @tool
    async def extract_synonym_values(self, synonym_values: list[int]) -> dict[str, Any]:
        """Submit the values; ``verify`` reads them from the call itself."""
        return {"success": True}

    async def verify(self, body: MultiStepVerify) -> VerifyResponse:
        """Reward 1.0 when the last list handed in equals the expected one, order included."""
        handed_in = last_list(body.response)
        expected = body.expected_synonym_values
        parsed = [value for value in handed_in if type(value) is int]  # a model may hand in anything
        accuracy = handed_in == expected
        # Divided by the list's length, as upstream does, so that its numbers and ours can stand side by side.
        if expected:
            overlap = len(set(parsed) & set(expected)) / len(expected)
        else:
            overlap = float(accuracy)
        return VerifyResponse.of(
            body,
            reward=float(accuracy),
            parsed_synonym_values=parsed,
            accuracy=accuracy,
            set_overlap=overlap,
            original_term_minefield_hit=body.minefield_label in handed_in or body.minefield_label_value in handed_in,
            order_instruction_following_failure=not accuracy and overlap == 1.0,
        )


def last_list(response: dict[str, Any]) -> list[Any]:
    """What the last ``extract_synonym_values`` call of a response handed in; ``[]`` when it was no list."""
    values = last_arguments(response, "extract_synonym_values").get("synonym_values")
    if isinstance(values, list):
        return values
    return []


if __name__ == "__main__":
    MultiStep.serve()
