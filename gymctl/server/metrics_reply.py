"""The plain answer to ``/aggregate_metrics``: statistics over the rows that a call holds."""

from __future__ import annotations

from typing import Any

from gymctl.config import exact_json
from gymctl.server.message import Call, Reply, json_reply


def baseline_reply(call: Call) -> Reply:
    """Mean, max, min, median and deviation of the call's rows; 422 where it holds none."""
    from gymctl.server.metrics import baseline_metrics

    try:
        rows = call_rows(call)
    except ValueError as error:
        return json_reply({"detail": str(error)}, 422)
    return json_reply(baseline_metrics(rows))


def call_rows(call: Call) -> list[dict[str, Any]]:
    """The ``verify_responses`` of an ``/aggregate_metrics`` request.

    Raises:
        ValueError: there are none.
    """
    body = exact_json.loads(call.body or b"{}")
    if isinstance(body, dict):
        rows = body.get("verify_responses")
    else:
        rows = None
    if not isinstance(rows, list):
        raise ValueError("verify_responses: a list of rows is required")
    return rows
