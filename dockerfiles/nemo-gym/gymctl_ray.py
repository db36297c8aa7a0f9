"""Ray when it is used, not before: what ``ray.init("gymctl_ray://...")`` imports (a scheme is a module's name).

Every server of NeMo Gym calls ``ray.init`` before it listens; few of them use Ray. A connection that nobody uses costs
a process of 200 MB beside Ray's head and half a minute of a busy machine, and may fail. So none is made here; Ray
connects by itself at the first call that needs it, to the address in RAY_ADDRESS.
"""

from __future__ import annotations

import os
from typing import Any


class ClientBuilder:
    """What ``ray.init`` asks a scheme's module for."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    def _init_args(self, **_: Any) -> ClientBuilder:
        return self

    def connect(self) -> Any:
        """Leave the connection to Ray's own first call. A Ray that is not like the one known is connected at once."""
        try:
            from ray._common.usage import usage_lib
        except ImportError:
            return self._connect_now()
        whole = usage_lib.put_pre_init_usage_stats

        def once() -> None:
            """Ray counts its connection after this, and asserts that there is one: not this time."""
            usage_lib.put_pre_init_usage_stats = whole

        usage_lib.put_pre_init_usage_stats = once
        print("Ray: not connected before it is used", flush=True)
        return None

    def _connect_now(self) -> Any:
        import ray

        return ray.init(address=os.environ.get("RAY_ADDRESS") or None)
