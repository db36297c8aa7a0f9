"""Connect to Ray on first use. ``ray.init("gymctl_ray://...")`` imports this module (Ray imports a scheme as a module).

Every server of NeMo Gym calls ``ray.init`` before it listens, but few of them use Ray. An unused connection takes a
process of 200 MB on the Ray head and half a minute on a busy machine, and may fail. ``connect`` therefore does nothing;
Ray itself connects to the address in RAY_ADDRESS at the first call that needs a cluster.
"""

from __future__ import annotations

import os
from typing import Any


class ClientBuilder:
    """The class that ``ray.init`` looks up in the module of a scheme."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    def _init_args(self, **_: Any) -> ClientBuilder:
        return self

    def connect(self) -> Any:
        """Do not connect yet. If this version of Ray has no usage hook, connect immediately."""
        try:
            from ray._common.usage import usage_lib
        except ImportError:
            return self._connect_now()
        whole = usage_lib.put_pre_init_usage_stats

        def once() -> None:
            """Skip Ray's usage statistics once: they assert that there is a connection."""
            usage_lib.put_pre_init_usage_stats = whole

        usage_lib.put_pre_init_usage_stats = once
        print("Ray: connects when it is first used", flush=True)
        return None

    def _connect_now(self) -> Any:
        import ray

        return ray.init(address=os.environ.get("RAY_ADDRESS") or None)
