"""Names of fields in rows, results and failures: upstream's (``_ng_*``), and gymctl's own (``_gymctl_*``)."""

TASK_INDEX = "_ng_task_index"
ROLLOUT_INDEX = "_ng_rollout_index"
AGENT_REF = "agent_ref"
PARAMS = "responses_create_params"

FAILURE_CLASS = "_ng_failure_class"
FAILURE_TERMINAL = "_ng_failure_terminal"
NO_PERSIST = "_ng_no_persist"
ATTEMPT_INDEX = "_ng_attempt_index"

TIMING = "_gymctl_timing"
TOOL_ERRORS = "_gymctl_tool_errors"
FAILURE = "_gymctl_failure"
