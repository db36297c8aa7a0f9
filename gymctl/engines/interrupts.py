"""The signals that interrupt a command, and who handles them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handle_interrupts(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have interrupts go to ``handler``; only the main thread may say so, elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in interrupt_signals()}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def interrupt_signals() -> tuple[signal.Signals, ...]:
    """What ends a command in order: Ctrl-C, SIGTERM, and a closed terminal, unless ``nohup`` has that ignored."""
    ignores_hangup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    both = (signal.SIGINT, signal.SIGTERM)
    return both if ignores_hangup else (*both, signal.SIGHUP)
