"""What submitted code cannot do, enforced by the kernel on the process that runs it: nothing here can be undone by it.

Works without any privilege, also in a container without capabilities. Standard library only: it is sent by value to
where checks run. Numbers are those of Linux (asm/unistd.h, linux/landlock.h, linux/seccomp.h).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_CAPABILITY_VERSION = 0x20080522
_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000

# --- Landlock: files, TCP, signals and abstract sockets. (x86_64 and aarch64 have the same numbers.)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_WRITE, _READ, _LIST, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = (1 << bit for bit in (1, 2, 3, 5, 8, 14))
_SCRATCH = _WRITE | _READ | _LIST | _REMOVE_FILE | _MAKE_REG  # no folders in it: its size is found with one look
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP, _SIGNALS_AND_ABSTRACT_SOCKETS = 0b11, 0b11
_O_PATH = 0o10000000
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom")

# --- seccomp: refused system calls, by their numbers on (x86_64, aarch64). What is newer than these is unknown to it.
_NEWEST = 449
_X86_64 = (
    # socket connect bind listen accept accept4, execve execveat fork vfork
    41, 42, 49, 50, 43, 288, 59, 322, 57, 58,
    # tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal pidfd_open pidfd_getfd, setpgid setsid
    200, 129, 297, 424, 434, 438, 109, 112,
    # ptrace process_vm_readv process_vm_writev process_madvise kcmp userfaultfd perf_event_open bpf
    101, 310, 311, 440, 312, 323, 298, 321,
    # mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr unshare setns
    165, 166, 155, 161, 429, 428, 430, 431, 432, 433, 442, 272, 308,
    # io_uring_setup io_uring_enter io_uring_register, keyctl add_key request_key
    425, 426, 427, 250, 248, 249,
    # what others of the same user run at: setpriority sched_setaffinity sched_setscheduler sched_setparam sched_setattr
    # ioprio_set, and where their memory is: migrate_pages move_pages
    141, 203, 144, 142, 314, 251, 256, 279,
    # memory that no limit counts: memfd_create memfd_secret shmget shmat msgget semget mq_open
    319, 447, 29, 30, 68, 64, 240,
    # that of others: shmctl msgctl msgsnd msgrcv semctl semop semtimedop mq_unlink
    31, 71, 69, 70, 66, 65, 220, 241,
    # mknod mknodat personality modify_ldt open_by_handle_at fanotify_init, setuid setgid setresuid setresgid setgroups
    133, 259, 135, 154, 304, 300, 105, 106, 117, 119, 116,
    # init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff syslog acct quotactl
    175, 313, 176, 246, 320, 169, 167, 168, 103, 163, 179,
)  # fmt: skip
_AARCH64 = (
    198, 203, 200, 201, 202, 242, 221, 281,
    130, 138, 240, 424, 434, 438, 154, 157,
    117, 270, 271, 440, 272, 282, 241, 280,
    40, 39, 41, 51, 429, 428, 430, 431, 432, 433, 442, 97, 268,
    425, 426, 427, 219, 217, 218,
    140, 122, 119, 118, 274, 30, 238, 239,
    279, 447, 194, 196, 186, 190, 180,
    195, 187, 189, 188, 191, 193, 192, 181,
    33, 92, 265, 262, 146, 144, 147, 149, 159,
    105, 273, 106, 104, 294, 142, 224, 225, 116, 89, 60,
)  # fmt: skip
# Machine -> its audit number, refused calls, and: clone, those whose first argument is to be the own process (kill
# tgkill), prlimit64 (where 0 is the own process too), and fcntl and ioctl.
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64, 56, (62, 234), 302, (72, 16)),
    "aarch64": (0xC00000B7, _AARCH64, 220, (129, 131), 261, (25, 29)),
}
# Whom a descriptor sends its signal, and which, as fcntl and ioctl set it: F_SETOWN F_SETSIG F_SETOWN_EX, FIOSETOWN
# SIOCSPGRP. The kernel sends it for the process, to anyone of the same user (Landlock stops that from Linux 6.12).
_SIGNAL_OWNER = ((8, 10, 15), (0x8901, 0x8902))
_CLONE3, _CLONE_THREAD = 435, 0x00010000
_LOAD, _EQUAL, _GREATER, _HAS_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24  # offsets in seccomp_data
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


class SandboxMissing(Exception):  # noqa: N818 - a fact about a kernel
    """The kernel does not offer what keeps submitted code in."""


def drop_identity(uid: int | None) -> None:
    """Become ``uid`` (when root), leave the network and IPC namespaces where allowed, and never gain anything again."""
    user = 0 if os.geteuid() == 0 else _CLONE_NEWUSER
    _LIBC.unshare(user | _CLONE_NEWNET | _CLONE_NEWIPC)  # refused in a container without capabilities: seccomp is left
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # no capability, in none of the three sets: one of all of them is what a new user namespace gives
    _checked(_LIBC.capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(24)), "capset")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def confine(limits: Mapping[str, Any], scratch: str) -> None:
    """Take everything away that the calling process, a child just forked, does not need to compute."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    limit_resources(limits)
    restrict_files([(path, _READ | _LIST) for path in _readable()], scratch)
    refuse_system_calls()


def limit_resources(limits: Mapping[str, Any]) -> None:
    """Memory, processor, files; threads too where the process has a user of its own."""
    seconds, memory = limits["seconds"], limits["memory"]
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        *(((resource.RLIMIT_NPROC, limits["threads"]),) if limits["own_user"] else ()),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))  # a signal of its own, then the end


def landlock_version() -> int:
    """The version of Landlock that the kernel offers; 0 for none."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def restrict_files(allowed: Iterable[tuple[str, int]], scratch: str) -> None:
    """Leave only what ``allowed`` says, and the scratch folder; no TCP, no signal to anyone else.

    Raises:
        SandboxMissing: the kernel has no Landlock.
    """
    version = landlock_version()
    if version == 0:
        raise SandboxMissing("the kernel offers no Landlock (Linux 5.13 and later do, unless it is switched off)")
    handled = _FILE_RIGHTS[min(version, 5)]
    rules = struct.pack("QQQ", handled, _TCP, _SIGNALS_AND_ABSTRACT_SOCKETS)
    rules = rules[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _checked(_LIBC.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0), "landlock_create_ruleset")
    for path, rights in (*allowed, (scratch, _SCRATCH | (_TRUNCATE if version >= 3 else 0))):
        with suppress(FileNotFoundError):
            _allow(ruleset, path, rights & handled)
    _checked(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, _O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):  # noqa: PTH112 - a right to list makes sense for folders only
        rights &= ~(_LIST | _REMOVE_FILE | _MAKE_REG)
    _checked(_LIBC.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0), "landlock_add_rule")
    os.close(place)


def _readable() -> list[str]:
    """Python itself, its libraries, and what they read of the system."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *(path for path in sys.path if os.path.isabs(path))]  # noqa: PTH117
    return list(dict.fromkeys((*_SYSTEM, *python)))


def refuse_system_calls() -> None:
    """Install the filter.

    Raises:
        SandboxMissing: it is for another kind of machine, or the kernel has none.
    """
    try:
        program = b"".join(struct.pack("HBBI", *step) for step in _filter(*_MACHINES[platform.machine()]))
    except KeyError:
        raise SandboxMissing(f"no filter of system calls is known for {platform.machine()}") from None
    text = ctypes.create_string_buffer(program, len(program))
    packed = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text)))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(packed))


def _filter(
    machine: int, refused: tuple[int, ...], clone: int, on_self: tuple[int, ...], prlimit: int, owning: tuple[int, ...]
) -> list[tuple[int, int, int, int]]:
    """The program: ``(operation, steps to skip if so, if not, operand)`` each."""
    own, no, unknown = os.getpid(), _ERROR | _EPERM, _ERROR | _ENOSYS
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER, 0, 1, _NEWEST),  # x32's numbers too
        (_RETURN, 0, 0, unknown),
        (_EQUAL, 0, 1, _CLONE3),  # its flags are out of reach; the C library falls back to clone
        (_RETURN, 0, 0, unknown),
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BITS, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, no),
    ]
    for number in on_self:
        steps += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_EQUAL, 0, 1, own)]
        steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, no)]
    steps += [(_EQUAL, 0, 5, prlimit), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_EQUAL, 1, 0, 0), (_EQUAL, 0, 1, own)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, no)]
    for number, commands in zip(owning, _SIGNAL_OWNER, strict=True):
        steps += [(_EQUAL, 0, 2 + 2 * len(commands), number), (_LOAD, 0, 0, _SECOND_ARGUMENT)]
        for command in commands:
            steps += [(_EQUAL, 0, 1, command), (_RETURN, 0, 0, no)]
        steps.append((_RETURN, 0, 0, _ALLOW))
    for number in refused:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, no)]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _prctl(option: int, value: int, pointer: int = 0) -> None:
    words = (ctypes.c_ulong(word) for word in (value, pointer, 0, 0))
    _checked(_LIBC.prctl(option, *words), f"prctl {option}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise SandboxMissing(f"{what}: {os.strerror(error)}")
    return result
