"""The kernel's figures about processes and the machine (Linux ``/proc``)."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"


def cpu_seconds(processes: Iterable[int]) -> float:
    """CPU time that the processes have used so far, user and system; a process that has ended counts as zero."""
    total = 0.0
    for pid in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def memory_mb(processes: Iterable[int]) -> float:
    """Proportional set size in MB: pages that several processes share are counted once."""
    return sum(_field(pid, "smaps_rollup", "Pss:") for pid in processes) / 1024


def peak_memory_mb(pid: int) -> float:
    """The peak resident memory of the process, in MB."""
    return _field(pid, "status", "VmHWM:") / 1024


def forget_peak_memory(pid: int) -> None:
    """Reset the peak to what the process holds now, if the kernel allows it."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def family(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    pids = [root]
    for pid in pids:
        pids += children.get(pid, [])
    return pids


def listening_on(port: int) -> list[int]:
    """The processes that listen on a TCP port."""
    sockets = set()
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
            sockets.add(f"socket:[{fields[9]}]")
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _holds(pid, sockets)]


def _holds(pid: int, sockets: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in sockets for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def load() -> float:
    """The machine's load average over the last minute."""
    return os.getloadavg()[0]


def description() -> dict[str, str | int]:
    """What the machine is, for the record."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    return {"cpu": model, "cores": os.cpu_count() or 0, "memory_gb": memory, "kernel": platform.release()}


def python_version(python: Path) -> str:
    """The version that an interpreter reports."""
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def package_version(python: Path, package: str) -> str:
    """The version of a package that an interpreter's environment has."""
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return subprocess.run([python, "-c", code, package], capture_output=True, text=True, check=True).stdout.strip()
