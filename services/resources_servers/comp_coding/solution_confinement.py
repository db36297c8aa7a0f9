"""Limits on submitted code, enforced by the kernel on the process that runs it, which cannot lift them.

Works without any privilege, also in a container without capabilities, from Linux 5.13 on. Standard library only: it is
sent by value to where checks run. Numbers are those of Linux (asm/unistd.h, linux/landlock.h, linux/prctl.h).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from solution_system_calls import MACHINES, filter_steps

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_READ_SEARCH = 2
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_OOM_SCORE = "900"  # of 1000: where memory runs out, the kernel ends submitted code first

# --- Landlock: files, TCP, signals and abstract sockets. (x86_64 and aarch64 have the same numbers.)
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_WRITE = 1 << 1
_READ = 1 << 2
_LIST = 1 << 3
_MAKE_REG = 1 << 8
_TRUNCATE = 1 << 14
# No folders, and no file loses its name: so one look finds all that a test has written, mapped files included.
_SCRATCH = _WRITE | _READ | _LIST | _MAKE_REG
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11
_SIGNALS_AND_ABSTRACT_SOCKETS = 0b11
_O_PATH = 0o10000000


class SandboxMissing(Exception):  # noqa: N818 - a fact about a kernel
    """The kernel does not offer what keeps submitted code in."""


def drop_identity(uid: int | None, *, search: bool = False) -> None:
    """Become ``uid`` (when root), leave the network and IPC namespaces where allowed, and never gain anything again.

    With ``search`` the folders that lead to what may be read need not be open to everyone: an own Python of root's.

    Raises:
        SandboxMissing: the process would still be root.
    """
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - without the import
        file.write(_OOM_SCORE)
    user = 0 if os.geteuid() == 0 else _CLONE_NEWUSER
    _LIBC.unshare(user | _CLONE_NEWNET | _CLONE_NEWIPC)  # refused in a container without capabilities: seccomp is left
    if uid is not None:
        _prctl(_PR_SET_KEEPCAPS, int(search))
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError as error:
            raise SandboxMissing(f"cannot switch from root to another user: {error.strerror}") from error
    capability = 1 << _CAP_DAC_READ_SEARCH if search and uid is not None else 0
    sets = struct.pack("IIIIII", capability, capability, 0, 0, 0, 0)  # effective, permitted, inheritable; then 32 to 63
    _checked(_LIBC.capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), sets), "capset")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def confine(limits: Mapping[str, Any], ruleset: int, parent: int) -> None:
    """Take everything away that the calling process, a child just forked, does not need to compute.

    Args:
        limits: of one test.
        ruleset: what ``file_rules`` made.
        parent: the process that forked this one.

    Raises:
        SandboxMissing: something could not be taken away.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SandboxMissing("the process that supervises the test has ended")
    limit_resources(limits)
    _checked(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    refuse_system_calls()


def limit_resources(limits: Mapping[str, Any]) -> None:
    """Memory, processor, files; threads too where the process has a user of its own."""
    seconds = limits["seconds"]
    most = {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_FSIZE: limits["disk"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if limits["own_user"]:
        most[resource.RLIMIT_NPROC] = limits["threads"]
    for kind, limit in most.items():
        hard = resource.getrlimit(kind)[1]
        possible = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (possible, possible))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))  # a signal of its own, then the end


def landlock_version() -> int:
    """The version of Landlock that the kernel offers; 0 for none."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def file_rules(scratch: str, readable: Iterable[str], listed: Iterable[str]) -> int:
    """A ruleset of Landlock, by its descriptor.

    Args:
        scratch: the one folder that can be written to.
        readable: files, and folders with all that is in them.
        listed: folders whose names can be read, and nothing else of them.

    Raises:
        SandboxMissing: the kernel has no Landlock.
    """
    version = landlock_version()
    if version == 0:
        raise SandboxMissing(
            "the kernel does not support Landlock (Linux 5.13 or later with Landlock enabled is required)"
        )
    handled = _FILE_RIGHTS[min(version, 5)]
    rules = struct.pack("QQQ", handled, _TCP, _SIGNALS_AND_ABSTRACT_SOCKETS)
    size = 8 * (1 + (version >= 4) + (version >= 6))  # what the version knows of them
    ruleset: int = _LIBC.syscall(_CREATE_RULESET, rules[:size], ctypes.c_size_t(size), 0)
    _checked(ruleset, "landlock_create_ruleset")
    for path in readable:
        _allow(ruleset, path, _READ | _LIST)
    for folder in listed:
        _allow(ruleset, folder, _LIST)
    _allow(ruleset, "/dev/null", _WRITE)
    _allow(ruleset, scratch, (_SCRATCH | _TRUNCATE) & handled)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:  # not there, or not for this user: nothing to allow
        return
    if not os.path.isdir(path):  # noqa: PTH112 - a right to list makes sense for folders only
        rights &= ~(_LIST | _MAKE_REG)
    _checked(_LIBC.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0), "landlock_add_rule")
    os.close(place)


def refuse_system_calls() -> None:
    """Install the filter.

    Raises:
        SandboxMissing: it is for another kind of machine, or the kernel has none.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        raise SandboxMissing(f"the system call filter does not support {machine} machines")
    program = b"".join(struct.pack("HBBI", *step) for step in filter_steps(machine))
    text = ctypes.create_string_buffer(program, len(program))
    packed = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text)))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(packed))


def _prctl(option: int, value: int, pointer: int = 0) -> None:
    words = (ctypes.c_ulong(word) for word in (value, pointer, 0, 0))
    _checked(_LIBC.prctl(option, *words), f"prctl {option}")


def _checked(result: int, call: str) -> None:
    if result < 0:
        raise SandboxMissing(f"{call}: {os.strerror(ctypes.get_errno())}")
