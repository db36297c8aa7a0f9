"""Names of fields in rows, results and failures: NeMo Gym's (0.2 to 0.7), and gymctl's own (``_gymctl_*``)."""

from __future__ import annotations

TASK_INDEX = "_ng_task_index"
ROLLOUT_INDEX = "_ng_rollout_index"
AGENT_REF = "agent_ref"
ENVIRONMENT_SERVER = "_ng_environment_server"
TASK_INPUT = "task_input"
TASK_ID = "task_id"
PARAMS = "responses_create_params"
RESPONSE = "response"
REWARD = "reward"
TIMING = "_gymctl_timing"

FAILURE_CLASS = "_ng_failure_class"
FAILURE_TERMINAL = "_ng_failure_terminal"
ATTEMPT_INDEX = "_ng_attempt_index"
FAILURE = "_gymctl_failure"
NO_PERSIST = "_ng_no_persist"
TOOL_ERRORS = "_gymctl_tool_errors"

# NeMo Gym 0.6 and later: rows may name the dataset's instance instead of the agent.
TASK_SOURCE = "task_source"
# NeMo Gym 0.7: a row whose reward is not a measurement, with the cause as a word and as a sentence.
MASK_SAMPLE = "mask_sample"
FAILURE_KIND = "failure_kind"
FAILURE_REASON = "failure_reason"
# NeMo Gym 0.7: fields of a failure row.
FAILURE_MESSAGE = "_ng_failure_message"
FAILURE_STATUS = "_ng_failure_http_status"
FAILURE_BODY = "_ng_failure_response_body"
FAILURE_STAGE = "_ng_failure_stage"

# Prefixes of fields that a collector adds; everything else at the top of a row is the environment's.
COLLECTOR_PREFIXES = ("_ng_", "_gymctl_", "ng_")
NOT_VERIFIER = frozenset((PARAMS, RESPONSE, REWARD, AGENT_REF, TASK_SOURCE, MASK_SAMPLE, FAILURE_KIND, FAILURE_REASON))


def is_verifier_field(name: str) -> bool:
    """Whether a top-level field of a row is the environment's own: data of the task, or what the verifier answered."""
    return name not in NOT_VERIFIER and not name.startswith(COLLECTOR_PREFIXES)
