"""The sandbox of submitted code: a process of its own and an empty folder, of which nothing is left afterwards.

Used where checks run: in a worker process or on a node of a Ray cluster, never in the server.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO, Any, cast

MODULES = ("solution_system_calls", "solution_confinement", "solution_runner")
"""What the sandbox's process runs, in the order in which the modules import each other."""

# The sources come with the job: first this much code, then JSON for every test.
_BOOT = """
import json, sys, types
job = json.loads(sys.stdin.buffer.readline())
for name, text in job.pop("sources").items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
sys.modules["solution_runner"].main(job)
"""
# Ids that nobody has, first of them and how many; where fewer ids are mapped, those that distributions leave free.
_OWN_USERS = ((1_900_000_000, 100_000_000), (60_000, 5_000))
_PREFIX = "solution-"
_START_S = 30.0  # for the sandbox to start, on a machine that may be busy
_PR_SET_CHILD_SUBREAPER = 36
_SYSTEM = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom")
# Folders of shared libraries and nothing else; of the others, only files that are shared libraries are readable.
_LIBRARIES = ("lib/*-linux-*", "usr/lib/*-linux-*")
_MIXED_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_PACKAGES = ("site-packages", "dist-packages")


class SandboxFailed(Exception):  # noqa: N818 - a fact about a check
    """The sandbox could not be set up: nothing is known about the code."""


def all_sources(sources: Mapping[str, str]) -> dict[str, str]:
    """The text of every module of the sandbox's process: those that ``sources`` lacks, from the files next to this one.

    A node of a cluster has no such files: there ``sources`` has all of them.
    """
    return {
        name: sources[name] if name in sources else Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        for name in MODULES
    }


class Sandbox:
    """The process that runs tests, and its folder."""

    def __init__(self, code: str, limits: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        self._code = code
        self.limits = limits
        self.sources = all_sources(sources)
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = ""
        self._held = -1
        self._others: frozenset[int] = frozenset()

    def __enter__(self) -> Sandbox:
        ctypes.CDLL(None).prctl(
            _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0
        )  # a process whose parent has ended becomes a child of this one
        self._others = frozenset(_children(os.getpid()))
        sweep()
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> None:
        """Start its process, in an empty folder; again, if one has been started before."""
        self._end()
        uid = _own_user()
        self._scratch, self._held = _new_folder()
        if uid is not None:
            os.chown(self._scratch, uid, uid)
        packages = places_of(self.limits.get("packages", ()))
        job = {
            "code": self._code,
            "limits": {**self.limits, "own_user": uid is not None},
            "scratch": self._scratch,
            "uid": uid,
            "search": not _is_open(Path(os.__file__), *(folder / name for folder, name in packages)),
            "readable": [str(path) for path in (*_readable(), *(folder / name for folder, name in packages))],
            "packages": list(dict.fromkeys(str(folder) for folder, _ in packages)),
            "sources": self.sources,
        }
        self._process = subprocess.Popen(  # noqa: S603 - Python itself, with a text of our own
            [sys.executable, "-P", "-s", "-S", "-B", "-c", _BOOT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self._scratch, bufsize=0,
            env=_environment(self._scratch),
        )  # fmt: skip
        self._send(job)

    def run(self, stdin: str, fn_name: str | None) -> dict[str, Any]:
        """The outcome of one test: ``ended`` when the code came to its end.

        Raises:
            SandboxFailed: it gave none.
        """
        self._send({"input": stdin, "fn_name": fn_name})
        answer = self._answer(time.monotonic() + _START_S + self.limits["seconds"])
        try:
            result: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise SandboxFailed(f"the sandbox ended: {self._complaint()}") from None
        if result["outcome"] == "no sandbox":
            raise SandboxFailed(result["stderr"])
        return result

    def _send(self, message: Mapping[str, Any]) -> None:
        process = cast(subprocess.Popen[bytes], self._process)
        text = memoryview(json.dumps(message).encode() + b"\n")
        with suppress(BrokenPipeError):  # a missing answer is reported with its reason
            while text:
                text = text[os.write(cast(IO[bytes], process.stdin).fileno(), text) :]

    def _answer(self, deadline: float) -> bytes:
        """The next line that the process writes; less when it ends, or does not write one in time."""
        source = cast(IO[bytes], cast(subprocess.Popen[bytes], self._process).stdout).fileno()
        text = bytearray()
        while not text.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
            if select.select([source], [], [], left)[0]:
                part = os.read(source, 1 << 20)
                if not part:
                    break
                text += part
        return bytes(text)

    def _complaint(self) -> str:
        process = cast(subprocess.Popen[bytes], self._process)
        process.kill()
        _, text = process.communicate()
        return text.decode("utf-8", "replace").strip()[-500:]

    def _end(self) -> None:
        """End the process, and whatever a test has left running, and remove the folder."""
        if self._process is not None:
            self._process.kill()
            with suppress(ValueError, BrokenPipeError):
                self._process.communicate()
            self._process = None
            _end_orphans(self._others)
        if self._scratch:
            _remove(self._scratch, self._held)
            self._scratch = ""


def _end_orphans(others: Collection[int]) -> None:
    """Kill and reap the children of this process that are not among ``others``."""
    while orphans := [pid for pid in _children(os.getpid()) if pid not in others]:
        for pid in orphans:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children(parent: int) -> list[int]:
    """The processes whose parent is ``parent``."""
    with suppress(OSError):  # some kernels have no such files
        tasks = Path(f"/proc/{parent}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    children = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            after_name = (folder / "stat").read_bytes().rpartition(b")")[2]
            if int(after_name.split()[1]) == parent:
                children.append(int(folder.name))
    return children


def _new_folder() -> tuple[str, int]:
    """A scratch folder and the descriptor of its lock; it has its name only when it is locked."""
    first = tempfile.mkdtemp(prefix=f"new-{_PREFIX}")
    held = _hold(first)
    scratch = str(Path(first).with_name(Path(first).name.removeprefix("new-")))
    os.rename(first, scratch)  # noqa: PTH104
    return scratch, held


def _hold(folder: str) -> int:
    """Lock a scratch folder for as long as this process lives; the lock's descriptor."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(folder: str, held: int) -> None:
    """Remove a scratch folder, by its path and the descriptor of its lock."""
    with suppress(OSError):
        os.fchmod(held, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def sweep() -> None:
    """Remove the scratch folders of processes that were killed."""
    own = (range(os.geteuid(), os.geteuid() + 1), *(range(first, first + count) for first, count in _OWN_USERS))
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, not a folder, or in use
            if any(folder.lstat().st_uid in users for users in own):
                _remove(str(folder), _hold(str(folder)))


def places_of(packages: Sequence[str]) -> list[tuple[Path, str]]:
    """Where installed packages are: ``(folder, name in it)``.

    Raises:
        SandboxFailed: one is not installed, or not as files of its own.
    """
    places = []
    for package in packages:
        try:
            distribution = metadata.distribution(package)
        except metadata.PackageNotFoundError as error:
            raise SandboxFailed(f"the package {package!r} of allowed_packages is not installed") from error
        folder = Path(str(distribution.locate_file("")))
        names = {file.parts[0] for file in distribution.files or () if not file.parts[0].endswith((".pth", ".."))}
        if all(name.endswith((".dist-info", ".egg-info")) for name in names):
            raise SandboxFailed(f"the package {package!r} of allowed_packages is installed from a checkout")
        places += [(folder, name) for name in sorted(names)]
    return places


def _readable() -> Iterator[Path]:
    """The standard library, and the shared libraries that its modules load."""
    yield from map(Path, _SYSTEM)
    for pattern in _LIBRARIES:
        yield from Path("/").glob(pattern)
    for folder in (*_MIXED_LIBRARIES, f"{sys.base_prefix}/lib"):
        yield from (path for path in _entries(folder) if ".so" in path.name and not path.is_dir())
    for folder in {str(Path(os.__file__).parent), sysconfig.get_config_var("DESTSHARED") or ""}:
        yield from (path for path in _entries(folder) if path.name not in _PACKAGES)


def _entries(folder: str) -> list[Path]:
    try:
        return list(Path(folder).iterdir()) if folder else []
    except OSError:
        return []


def _environment(scratch: str) -> dict[str, str]:
    variables = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
    own = {"HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    return {**variables, **own}


def _own_user() -> int | None:
    """An id that no other process has, for root; None for an ordinary user.

    Raises:
        SandboxFailed: there is none, and code is never run as root.
    """
    if os.geteuid() != 0:
        return None
    try:
        mapped = Path("/proc/self/uid_map").read_text(encoding="ascii")
    except OSError as error:
        raise SandboxFailed(f"code must not run as root, and /proc is not readable: {error.strerror}") from error
    ranges = [(int(start), int(start) + int(count)) for start, _, count in map(str.split, mapped.splitlines())]
    for first, count in _OWN_USERS:
        uid = first + os.getpid() % count
        if any(start <= uid < end for start, end in ranges):
            return uid
    text = "code must not run as root, and this container has too few user ids; run it as an ordinary user"
    raise SandboxFailed(text)


def _is_open(*paths: Path) -> bool:
    """Whether every user can reach these files."""
    folders = {folder for path in paths for folder in path.resolve().parents}
    return all(folder.stat().st_mode & 0o001 for folder in folders)
