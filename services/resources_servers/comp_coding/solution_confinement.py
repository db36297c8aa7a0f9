"""What submitted code cannot do, enforced by the kernel on the process that runs it: nothing here can be undone by it.

Works without any privilege, also in a container without capabilities, from Linux 5.13 on. Standard library only: it is
sent by value to where checks run. Numbers are those of Linux (asm/unistd.h, linux/landlock.h, linux/seccomp.h).
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

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 8, 22, 38
_PR_SET_NAME, _PR_GET_NAME = 15, 16
_CAPABILITY_VERSION, _CAP_DAC_READ_SEARCH = 0x20080522, 2
_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_OOM_SCORE = "900"  # of 1000: where memory runs out, the kernel ends submitted code first

# --- Landlock: files, TCP, signals and abstract sockets. (x86_64 and aarch64 have the same numbers.)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_WRITE, _READ, _LIST, _MAKE_REG, _TRUNCATE = (1 << bit for bit in (1, 2, 3, 8, 14))
# No folders, and no file loses its name: so one look finds all that a test has written, mapped files included.
_SCRATCH = _WRITE | _READ | _LIST | _MAKE_REG
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP, _SIGNALS_AND_ABSTRACT_SOCKETS = 0b11, 0b11
_O_PATH = 0o10000000
# --- seccomp: the system calls that are let through, by their numbers on (x86_64, aarch64). All others are refused.
_NEWEST = 449  # what is newer is unknown, as it would be to an older kernel
_ALLOWED = {
    "x86_64": (
        # read write readv writev pread64 pwrite64 preadv pwritev preadv2, close close_range lseek dup dup2 dup3
        0, 1, 19, 20, 17, 18, 295, 296, 327, 3, 436, 8, 32, 33, 292,
        # stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat
        4, 5, 6, 262, 332, 137, 138, 21, 269, 439, 89, 267,
        # getdents getdents64 getcwd chdir fchdir umask ftruncate sendfile, pipe pipe2 eventfd2
        78, 217, 79, 80, 81, 95, 77, 40, 22, 293, 290,
        # munmap mprotect brk mremap, futex futex_waitv set_robust_list get_robust_list rseq set_tid_address
        11, 10, 12, 25, 202, 449, 273, 274, 334, 218,
        # poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
        7, 271, 23, 270, 213, 291, 233, 232, 281, 441,
        # sendto recvfrom shutdown getsockname getpeername getsockopt (of a socketpair: there are no others)
        44, 45, 48, 51, 52, 55,
        # time gettimeofday clock_gettime clock_getres nanosleep clock_nanosleep alarm getitimer setitimer times
        201, 96, 228, 229, 35, 230, 37, 36, 38, 100,
        # rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
        13, 14, 15, 127, 128, 130, 131, 34,
        # exit exit_group restart_syscall sched_yield getcpu getrandom arch_prctl uname sysinfo wait4 waitid
        60, 231, 219, 24, 309, 318, 158, 63, 99, 61, 247,
        # getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid getresgid getgroups
        39, 186, 110, 111, 121, 124, 102, 107, 104, 108, 118, 120, 115,
        # getrlimit getrusage getpriority sched_getaffinity sched_getparam sched_getscheduler sched_getattr
        # sched_get_priority_max sched_get_priority_min sched_rr_get_interval
        97, 98, 140, 204, 143, 145, 315, 146, 147, 148,
    ),
    "aarch64": (
        63, 64, 65, 66, 67, 68, 69, 70, 286, 57, 436, 62, 23, 24,
        80, 79, 291, 43, 44, 48, 439, 78,
        61, 17, 49, 50, 166, 46, 71, 59, 19,
        215, 226, 214, 216, 98, 449, 99, 100, 293, 96,
        73, 72, 20, 21, 22, 441,
        206, 207, 210, 204, 205, 209,
        169, 113, 114, 101, 115, 102, 103, 153,
        134, 135, 139, 136, 137, 133, 132,
        93, 94, 128, 124, 168, 278, 160, 179, 260, 95,
        172, 178, 173, 155, 156, 174, 175, 176, 177, 148, 150, 158,
        163, 165, 141, 123, 121, 120, 275, 125, 126, 127,
    ),
}  # fmt: skip
# Machine -> its audit number, and the calls whose arguments are looked at: mmap madvise clone kill tgkill prlimit64
# prctl fcntl ioctl socketpair, openat, open (0: there is none), and those that get another answer than "not permitted":
# fsync fdatasync msync, fallocate, mkdirat mkdir.
_MACHINES = {
    "x86_64": (0xC000003E, (9, 28, 56, 62, 234, 302, 157, 72, 16, 53), 257, 2, (74, 75, 26), 285, (258, 83)),
    "aarch64": (0xC00000B7, (222, 233, 220, 129, 131, 261, 167, 25, 29, 199), 56, 0, (82, 83, 227), 47, (34,)),
}
# Flags of open(2) beyond the first twelve bits; O_SYNC, O_DIRECT, O_PATH, O_TMPFILE and the like are not among them.
_OPEN_FLAGS = {"x86_64": 0x8FFF | 0x10000 | 0x20000 | 0x80000, "aarch64": 0x4FFF | 0x8000 | 0x20000 | 0x80000}
_O_ACCMODE, _O_TRUNC = 3, 0x200
_CLONE3, _OPENAT2, _CLONE_THREAD, _MAP_HUGETLB, _AF_UNIX = 435, 437, 0x00010000, 0x40000, 1
# NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
_ADVICE = (0, 1, 2, 3, 4, 8, 14, 15, 16, 17)
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_GETPIPE_SZ: no locks, leases, signals, sizes of pipes
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)
# TCGETS TCGETS2 TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
_LOAD, _AND, _EQUAL, _GREATER, _HAS_BITS, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in seccomp_data; an argument has eight bytes
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EACCES, _ENOSYS, _EOPNOTSUPP = 1, 13, 38, 95

Step = tuple[int, int, int, int]
_YES: list[Step] = [(_RETURN, 0, 0, _ALLOW)]
_NO: list[Step] = [(_RETURN, 0, 0, _ERROR | _EPERM)]


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
            raise SandboxMissing(f"root cannot become another user here: {error.strerror}") from error
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
        raise SandboxMissing("the process that watches over the test has ended")
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
        raise SandboxMissing("the kernel offers no Landlock (Linux 5.13 and later do, unless it is switched off)")
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
    if machine not in _MACHINES:
        raise SandboxMissing(f"no filter of system calls is known for {machine}")
    program = b"".join(struct.pack("HBBI", *step) for step in _filter(machine))
    text = ctypes.create_string_buffer(program, len(program))
    packed = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text)))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(packed))


def _filter(machine: str) -> list[Step]:
    """The program: ``(operation, steps to skip if so, if not, operand)`` each."""
    audit, looked_at, openat, opening, syncs, fallocate, mkdirs = _MACHINES[machine]
    mmap, madvise, clone, kill, tgkill, prlimit, prctl, fcntl, ioctl, socketpair = looked_at
    own = os.getpid()
    flags = ~_OPEN_FLAGS[machine] & 0xFFFFFFFF
    answers = {
        mmap: [_load(3), (_HAS_BITS, 0, 1, _MAP_HUGETLB), *_NO, *_YES],
        madvise: _one_of(2, _ADVICE),
        clone: [_load(0), (_HAS_BITS, 1, 0, _CLONE_THREAD), *_NO, *_YES],
        kill: _one_of(0, (own,)),
        tgkill: _one_of(0, (own,)),
        prlimit: _one_of(0, (0, own)),
        prctl: _one_of(0, (_PR_SET_NAME, _PR_GET_NAME)),
        fcntl: _one_of(1, _FCNTL),
        ioctl: _one_of(1, _IOCTL),
        socketpair: _one_of(0, (_AF_UNIX,)),
        openat: _open(2, flags),
        **{number: _open(1, flags) for number in (opening,) if number},
        **{number: _answer(0) for number in syncs},  # done, as far as a test can see; for others they cost time
        fallocate: _answer(_EOPNOTSUPP),  # the C library writes instead, at the speed of writing
        **{number: _answer(_EACCES) for number in mkdirs},
        _CLONE3: _answer(_ENOSYS),  # its flags are out of reach; the C library falls back to clone
        _OPENAT2: _answer(_ENOSYS),
        **dict.fromkeys(_ALLOWED[machine], _YES),
    }
    steps = [_load_at(_ARCHITECTURE), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL), _load_at(_NUMBER)]
    for number, body in answers.items():
        steps += [(_EQUAL, 0, len(body), number), *body]
    return [*steps, (_GREATER, 1, 0, _NEWEST), *_NO, *_answer(_ENOSYS)]  # x32's numbers are greater too


def _load_at(offset: int) -> Step:
    return (_LOAD, 0, 0, offset)


def _load(argument: int) -> Step:
    return _load_at(_ARGUMENTS + 8 * argument)


def _answer(error: int) -> list[Step]:
    return [(_RETURN, 0, 0, _ERROR | error)]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Step]:
    steps: list[Step] = [_load(argument)]
    for value in values:
        steps += [(_EQUAL, 0, 1, value), *_YES]
    return [*steps, *_NO]


def _open(argument: int, refused: int) -> list[Step]:
    """Landlock sees reading and writing. Flags that are neither, or empty a file that is only read, go past it."""
    return [
        *(_load(argument), (_HAS_BITS, 0, 1, refused), *_NO),
        *((_AND, 0, 0, _O_ACCMODE | _O_TRUNC), (_EQUAL, 0, 1, _O_TRUNC), *_NO),
        *((_AND, 0, 0, _O_ACCMODE), (_EQUAL, 0, 1, _O_ACCMODE), *_NO, *_YES),
    ]


def _prctl(option: int, value: int, pointer: int = 0) -> None:
    words = (ctypes.c_ulong(word) for word in (value, pointer, 0, 0))
    _checked(_LIBC.prctl(option, *words), f"prctl {option}")


def _checked(result: int, what: str) -> None:
    if result < 0:
        raise SandboxMissing(f"{what}: {os.strerror(ctypes.get_errno())}")
