"""How an endpoint expects conversations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """The switches of a conversion; the names in brackets are NeMo Gym's settings.

    Attributes:
        reasoning_parser: the endpoint takes and gives reasoning in a field of its own, not as ``<think>`` in the text
            (``uses_reasoning_parser``).
        interleaved: reasoning of earlier turns is sent back; if not, it is left out (``uses_interleaved_reasoning``).
        developer_as_system: ``developer`` messages are sent as ``system`` (``replace_developer_role_with_system``).
        token_ids: the training fields of earlier turns are sent back (``return_token_id_information``).
    """

    reasoning_parser: bool = True
    interleaved: bool = True
    developer_as_system: bool = False
    token_ids: bool = False
