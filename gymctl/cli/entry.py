"""Where the command ``gymctl`` begins: Ctrl-C while it is still being imported ends it without a traceback."""

# What ``signal`` wraps: importing that one (or ``typing``) takes milliseconds in which an interrupt may come.
import _signal as signal  # type: ignore[import-not-found]
import gc
import os
import sys

INTERRUPTED = 130
_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:  # not where it is ignored: a background job of a shell
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def main() -> None:
    """Import the command line, then run it; until then there is nothing that an interrupt would have to clean up."""
    gc.disable()  # nothing that is imported becomes garbage; ``_prepare_interpreter`` enables it for long commands
    from gymctl.cli.main import main as run

    open_streams()
    signal.signal(signal.SIGINT, _before)
    run()


def open_streams() -> None:
    """Open standard streams that were closed (``>&-``) on nothing: the next file would have the number of one of them.

    What a program of ours prints would then be written into a file of results.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest number
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the whole process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
