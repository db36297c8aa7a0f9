"""Run NeMo Gym environments in containers: layered YAML in, a running stack out, rollouts collected from it.

What the command ``gymctl`` does, for scripts and notebooks; ``docs/python.md`` shows it. Names are imported when they
are first used.
"""

from __future__ import annotations

from gymctl.lazy import names_on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gymctl.config.choices import EngineKind, MergeOrder, ResultOrder, SliceMode, Target
    from gymctl.config.model import Config
    from gymctl.engines.state import StackState
    from gymctl.errors import ConfigError, EngineError, GymctlError, InputError, Problem, RunError
    from gymctl.operations.changes import ServerChange, StackChanges, changes
    from gymctl.operations.collect import collect
    from gymctl.operations.configuration import PlanOptions, load, plan
    from gymctl.operations.events import StackEvent
    from gymctl.operations.render import Rendering, render, write_rendering
    from gymctl.operations.stack import down, logs, scale
    from gymctl.operations.stack_start import ImageOptions
    from gymctl.operations.status import StackStatus, status
    from gymctl.operations.up import up
    from gymctl.rollouts.report import Report

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConfigError",
    "EngineError",
    "EngineKind",
    "GymctlError",
    "ImageOptions",
    "InputError",
    "MergeOrder",
    "PlanOptions",
    "Problem",
    "Rendering",
    "Report",
    "ResultOrder",
    "RunError",
    "ServerChange",
    "SliceMode",
    "StackChanges",
    "StackEvent",
    "StackState",
    "StackStatus",
    "Target",
    "__version__",
    "changes",
    "collect",
    "down",
    "load",
    "logs",
    "plan",
    "render",
    "scale",
    "status",
    "up",
    "write_rendering",
]

__getattr__ = names_on_demand(
    __name__,
    {
        "config.choices": ("EngineKind", "MergeOrder", "ResultOrder", "SliceMode", "Target"),
        "config.model": ("Config",),
        "engines.state": ("StackState",),
        "errors": ("ConfigError", "EngineError", "GymctlError", "InputError", "Problem", "RunError"),
        "operations.changes": ("ServerChange", "StackChanges", "changes"),
        "operations.collect": ("collect",),
        "operations.configuration": ("PlanOptions", "load", "plan"),
        "operations.events": ("StackEvent",),
        "operations.render": ("Rendering", "render", "write_rendering"),
        "operations.stack": ("down", "logs", "scale"),
        "operations.status": ("StackStatus", "status"),
        "operations.stack_start": ("ImageOptions",),
        "operations.up": ("up",),
        "rollouts.report": ("Report",),
    },
)
