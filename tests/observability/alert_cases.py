"""For each alert: series that make it fire, and ones next to its threshold that do not. One sample a minute."""

from __future__ import annotations

from dataclasses import dataclass

Series = dict[str, str]

MINUTES = 60


@dataclass(frozen=True)
class Case:
    """Series by name, as promtool writes them."""

    firing: Series
    silent: Series


def steady(value: float) -> str:
    return f"{value}x{MINUTES}"


def rising(step: float) -> str:
    return f"0+{step}x{MINUTES}"


def histogram(name: str, labels: str, bounds: dict[str, float]) -> Series:
    """Buckets that rise by these numbers a minute."""
    return {f'{name}_bucket{{{labels},le="{bound}"}}': rising(step) for bound, step in bounds.items()}


def requests(code: str, step: float) -> Series:
    name = "gymctl_http_request_duration_seconds_count"
    return {f'{name}{{server="s",code="200"}}': rising(100), f'{name}{{server="s",code="{code}"}}': rising(step)}


def per_rollout(name: str, step: float, outcome: str = "done") -> Series:
    return {
        f'gymctl_{name}{{agent="a",instance="c"}}': rising(step),
        f'gymctl_rollouts_total{{agent="a",outcome="{outcome}",instance="c"}}': rising(100),
    }


def rewards(late: float) -> Series:
    """A thousand rewards of 0.5 on average (half 0, half 1), then some of another mean."""
    early = MINUTES - 15
    return {
        'gymctl_reward_count{agent="a"}': rising(100),
        'gymctl_reward_sums_total{agent="a",sign="negative"}': steady(0),
        'gymctl_reward_sums_total{agent="a",sign="positive"}': f"0+50x{early} {50 * early + late}+{late}x14",
        'gymctl_reward_squares_total{agent="a"}': f"0+50x{early} {50 * early + late}+{late}x14",
    }


def outcomes(failed: float) -> Series:
    return {
        'gymctl_rollouts_total{agent="a",outcome="done",instance="c"}': rising(100),
        'gymctl_rollouts_total{agent="a",outcome="failed",instance="c"}': rising(failed),
    }


def stalled(ended: float, in_flight: float) -> Series:
    return {
        'gymctl_rollouts_total{agent="a",outcome="done",instance="c"}': rising(ended),
        'gymctl_rollouts_in_flight{instance="c"}': steady(in_flight),
    }


_UP = 'up{job="gymctl",instance="s"}'
_DURATIONS = "gymctl_http_request_duration_seconds"
_GPU = 'DCGM_FI_DEV_GPU_UTIL{instance="g",gpu="0"}'
_FLIGHT = 'gymctl_rollouts_in_flight{instance="c"}'

CASES = {
    "GymctlServerDown": Case({_UP: steady(0)}, {_UP: steady(1)}),
    "GymctlServersMissing": Case(
        {"gymctl_servers_up": steady(3), "gymctl_servers_expected": steady(4)},
        {"gymctl_servers_up": steady(4), "gymctl_servers_expected": steady(4)},
    ),
    "GymctlServerRestarting": Case(
        {'gymctl_start_time_seconds{server="s"}': rising(60)},
        {'gymctl_start_time_seconds{server="s"}': f"1x{MINUTES - 5} 2x5"},
    ),
    "GymctlNoMetrics": Case({"up": steady(0)}, {'gymctl_build_info{server="s"}': steady(1)}),
    "GymctlServerErrors": Case(requests("500", 10), requests("500", 4)),
    "GymctlRateLimited": Case(requests("429", 10), requests("429", 4)),
    "GymctlEnvironmentSlow": Case(
        histogram(_DURATIONS, 'server="s",kind="resources_servers"', {"0.1": 50, "0.25": 100, "+Inf": 100}),
        {
            **histogram(_DURATIONS, 'server="s",kind="resources_servers"', {"0.1": 99, "0.25": 100, "+Inf": 100}),
            **histogram(_DURATIONS, 'server="m",kind="responses_api_models"', {"0.1": 0, "60.0": 100, "+Inf": 100}),
        },
    ),
    "GymctlEventLoopLag": Case(
        histogram("gymctl_event_loop_lag_seconds", 'server="s"', {"0.5": 90, "1.0": 100, "+Inf": 100}),
        histogram("gymctl_event_loop_lag_seconds", 'server="s"', {"0.5": 100, "1.0": 100, "+Inf": 100}),
    ),
    "GymctlSessionsLost": Case(
        {'gymctl_call_failures_total{server="s",class="session_lost"}': rising(2)},
        {
            'gymctl_call_failures_total{server="s",class="session_lost"}': rising(0.5),
            'gymctl_call_failures_total{server="s",class="timeout"}': rising(100),
        },
    ),
    "GymctlCollectorStalled": Case(stalled(0, 5), stalled(1, 5)),
    "GymctlFailureRatio": Case(outcomes(10), outcomes(4)),
    "GymctlRetries": Case(per_rollout("retries_total", 30), per_rollout("retries_total", 10)),
    "GymctlQueueWait": Case(
        histogram("gymctl_queue_wait_seconds", 'agent="a"', {"60.0": 50, "120.0": 100, "+Inf": 100}),
        histogram("gymctl_queue_wait_seconds", 'agent="a"', {"60.0": 99, "120.0": 100, "+Inf": 100}),
    ),
    "GymctlDiskAlmostFull": Case(
        {"gymctl_output_disk_free_ratio": steady(0.09)}, {"gymctl_output_disk_free_ratio": steady(0.11)}
    ),
    "GymctlZeroVarianceGroups": Case(
        {'gymctl_group_zero_variance_ratio{agent="a"}': steady(0.7)},
        {'gymctl_group_zero_variance_ratio{agent="a"}': steady(0.5)},
    ),
    "GymctlTruncation": Case(per_rollout("truncated_total", 30), per_rollout("truncated_total", 10)),
    "GymctlModelNeverCalled": Case(
        per_rollout("model_never_called_total", 0.1), per_rollout("model_never_called_total", 0)
    ),
    "GymctlRewardShift": Case(rewards(80), rewards(51)),
    "GymctlToolErrors": Case(per_rollout("tool_errors_total", 30), per_rollout("tool_errors_total", 5)),
    "GymctlKvCacheFull": Case(
        {"vllm:kv_cache_usage_perc": steady(0.96)},
        {"vllm:kv_cache_usage_perc": steady(0.9)},
    ),
    "GymctlModelQueue": Case(
        {"vllm:num_requests_waiting": steady(9), "vllm:num_requests_running": steady(8)},
        {"vllm:num_requests_waiting": steady(8), "vllm:num_requests_running": steady(8)},
    ),
    "GymctlPreemptions": Case({"vllm:num_preemptions_total": rising(1)}, {"vllm:num_preemptions_total": steady(7)}),
    "GymctlGpuIdle": Case({_GPU: steady(3), _FLIGHT: steady(8)}, {_GPU: steady(3), _FLIGHT: steady(0)}),
}
