"""Which system calls submitted code may make: the seccomp filter, as steps of the kernel's filter machine.

Standard library only: it is sent by value to where checks run. Numbers are from Linux (asm/unistd.h, linux/seccomp.h).
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Operation:
    """Operations of the filter machine (classic BPF)."""

    LOAD = 0x20
    AND = 0x54
    EQUAL = 0x15
    GREATER = 0x25
    HAS_BITS = 0x45
    RETURN = 0x06


class Offset:
    """Offsets in ``struct seccomp_data``."""

    NUMBER = 0
    ARCHITECTURE = 4
    ARGUMENTS = 16  # eight bytes each


class FilterAction:
    """What the kernel does with a call; an error number is added to ``ERROR``."""

    ALLOW = 0x7FFF0000
    KILL = 0x80000000
    ERROR = 0x00050000


class ErrorNumber:
    """Errors that refused calls end with."""

    EPERM = 1
    EACCES = 13
    ENOSYS = 38
    EOPNOTSUPP = 95


class MachineCalls(NamedTuple):
    """Numbers of one kind of machine: system calls whose arguments are checked, or that get an error of their own."""

    audit: int
    mmap: int
    madvise: int
    clone: int
    kill: int
    tgkill: int
    prlimit64: int
    prctl: int
    fcntl: int
    ioctl: int
    socketpair: int
    openat: int
    fallocate: int
    syncs: tuple[int, ...]
    """fsync, fdatasync, msync."""
    mkdirs: tuple[int, ...]
    """mkdirat, and mkdir where the machine has it."""
    opens: tuple[int, ...]
    """open, where the machine has it."""
    open_flags: int
    """Permitted flags of open(2) beyond the first twelve bits; O_SYNC, O_DIRECT, O_PATH and O_TMPFILE are refused."""


# The system calls that are let through, by their numbers on (x86_64, aarch64). All others are refused.
_NEWEST = 449  # newer ones get ENOSYS, as from an older kernel
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
MACHINES = {
    "x86_64": MachineCalls(
        audit=0xC000003E,
        mmap=9,
        madvise=28,
        clone=56,
        kill=62,
        tgkill=234,
        prlimit64=302,
        prctl=157,
        fcntl=72,
        ioctl=16,
        socketpair=53,
        openat=257,
        fallocate=285,
        syncs=(74, 75, 26),
        mkdirs=(258, 83),
        opens=(2,),
        open_flags=0x8FFF | 0x10000 | 0x20000 | 0x80000,
    ),
    "aarch64": MachineCalls(
        audit=0xC00000B7,
        mmap=222,
        madvise=233,
        clone=220,
        kill=129,
        tgkill=131,
        prlimit64=261,
        prctl=167,
        fcntl=25,
        ioctl=29,
        socketpair=199,
        openat=56,
        fallocate=47,
        syncs=(82, 83, 227),
        mkdirs=(34,),
        opens=(),
        open_flags=0x4FFF | 0x8000 | 0x20000 | 0x80000,
    ),
}
PR_SET_NAME = 15
PR_GET_NAME = 16
_O_ACCMODE = 3
_O_TRUNC = 0x200
_CLONE3 = 435
_OPENAT2 = 437
_CLONE_THREAD = 0x00010000
_MAP_HUGETLB = 0x40000
_AF_UNIX = 1
# NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
_ADVICE = (0, 1, 2, 3, 4, 8, 14, 15, 16, 17)
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_GETPIPE_SZ: no locks, leases, signals, sizes of pipes
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)
# TCGETS TCGETS2 TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)

Step = tuple[int, int, int, int]
"""Operation, steps to skip if true, steps to skip if false, operand."""
_YES: list[Step] = [(Operation.RETURN, 0, 0, FilterAction.ALLOW)]
_NO: list[Step] = [(Operation.RETURN, 0, 0, FilterAction.ERROR | ErrorNumber.EPERM)]


def filter_steps(machine: str) -> list[Step]:
    """The filter for a machine of ``MACHINES``, for the process that calls this: it may signal only itself."""
    calls = MACHINES[machine]
    own = os.getpid()
    refused_flags = ~calls.open_flags & 0xFFFFFFFF
    answers = {
        calls.mmap: [_load(3), (Operation.HAS_BITS, 0, 1, _MAP_HUGETLB), *_NO, *_YES],
        calls.madvise: _one_of(2, _ADVICE),
        calls.clone: [_load(0), (Operation.HAS_BITS, 1, 0, _CLONE_THREAD), *_NO, *_YES],
        calls.kill: _one_of(0, (own,)),
        calls.tgkill: _one_of(0, (own,)),
        calls.prlimit64: _one_of(0, (0, own)),
        calls.prctl: _one_of(0, (PR_SET_NAME, PR_GET_NAME)),
        calls.fcntl: _one_of(1, _FCNTL),
        calls.ioctl: _one_of(1, _IOCTL),
        calls.socketpair: _one_of(0, (_AF_UNIX,)),
        calls.openat: _open(2, refused_flags),
        **{number: _open(1, refused_flags) for number in calls.opens},
        **{number: _answer(0) for number in calls.syncs},  # reported as done: real ones would slow others down
        calls.fallocate: _answer(ErrorNumber.EOPNOTSUPP),  # the C library writes instead, at the speed of writing
        **{number: _answer(ErrorNumber.EACCES) for number in calls.mkdirs},
        _CLONE3: _answer(ErrorNumber.ENOSYS),  # a filter cannot read its flags; the C library falls back to clone
        _OPENAT2: _answer(ErrorNumber.ENOSYS),
        **dict.fromkeys(_ALLOWED[machine], _YES),
    }
    steps: list[Step] = [
        _load_at(Offset.ARCHITECTURE),
        (Operation.EQUAL, 1, 0, calls.audit),
        (Operation.RETURN, 0, 0, FilterAction.KILL),
        _load_at(Offset.NUMBER),
    ]
    for number, body in answers.items():
        steps += [(Operation.EQUAL, 0, len(body), number), *body]
    # x32's numbers are greater too
    return [*steps, (Operation.GREATER, 1, 0, _NEWEST), *_NO, *_answer(ErrorNumber.ENOSYS)]


def _load_at(offset: int) -> Step:
    return (Operation.LOAD, 0, 0, offset)


def _load(argument: int) -> Step:
    return _load_at(Offset.ARGUMENTS + 8 * argument)


def _answer(error: int) -> list[Step]:
    return [(Operation.RETURN, 0, 0, FilterAction.ERROR | error)]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Step]:
    steps: list[Step] = [_load(argument)]
    for value in values:
        steps += [(Operation.EQUAL, 0, 1, value), *_YES]
    return [*steps, *_NO]


def _open(argument: int, refused: int) -> list[Step]:
    """Refuse flags that Landlock does not check: unusual ones, O_TRUNC on a file opened for reading, access mode 3."""
    return [
        *(_load(argument), (Operation.HAS_BITS, 0, 1, refused), *_NO),
        *((Operation.AND, 0, 0, _O_ACCMODE | _O_TRUNC), (Operation.EQUAL, 0, 1, _O_TRUNC), *_NO),
        *((Operation.AND, 0, 0, _O_ACCMODE), (Operation.EQUAL, 0, 1, _O_ACCMODE), *_NO, *_YES),
    ]
