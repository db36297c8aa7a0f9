"""Where the command ``gymctl`` begins: Ctrl-C while it is still being imported ends it without a traceback."""

# What ``signal`` wraps: importing that one (or ``typing``) takes milliseconds in which an interrupt may come.
import _signal as signal  # type: ignore[import-not-found]
import os

INTERRUPTED = 130
_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:  # not where it is ignored: a background job of a shell
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def main() -> None:
    """Import the command line, then run it; until then there is nothing that an interrupt would have to clean up."""
    from gymctl.cli.main import main as run

    signal.signal(signal.SIGINT, _before)
    run()
