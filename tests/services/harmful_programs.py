"""Programs that try to do harm, and how each of their tests is to end: what the sandbox is measured by."""

from __future__ import annotations

# A system call on the parent that neither Python nor the C library has a name for.
_BY_NUMBER = (
    "import ctypes, os, struct; libc = ctypes.CDLL(None, use_errno=True)\n"
    "number = {{'x86_64': {x86_64}, 'aarch64': {aarch64}}}[os.uname().machine]\n"
    "if libc.syscall(number, os.getppid(), {more}) < 0: raise OSError(ctypes.get_errno(), '{name}')"
)

# The same by a function of the C library.
_BY_NAME = (
    "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
    "if libc.{call} < 0: raise OSError(ctypes.get_errno(), '{name}')"
)
# Any other system call, which is refused or, as on an older kernel, unknown; a table of (x86_64, aarch64, arguments).
_CALLS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
machine = ('x86_64', 'aarch64').index(os.uname().machine)
for *numbers, arguments in {calls}:
    if libc.syscall(numbers[machine], *arguments) >= 0 or ctypes.get_errno() not in (1, 38):
        print('made call', numbers[machine], flush=True)
        os._exit(0)
raise PermissionError('all refused')
"""
# Code of a 32-bit program's system call (getpid), which no filter by numbers of 64-bit ones would see.
_INT_80 = """
import ctypes, mmap, os
if os.uname().machine != 'x86_64': os.kill(os.getpid(), 9)
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex('b814000000cd80c3'))
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))())
"""
# A number of bytes in files that are mapped or open, and no longer by name; a second to look at them.
_HELD = "print(len(held) * 15, 'MB', flush=True)\nimport time; time.sleep(1)"

# name -> (program, outcomes that are right, what its error says)
HARMFUL: dict[str, tuple[str, set[str], str]] = {
    "fork bomb": ("import os\nwhile True: os.fork()", {"raised"}, "Operation not permitted"),
    "fork bomb that does not mind": (
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        {"time"},
        "",
    ),
    "endless loop": ("while True: pass", {"time"}, ""),
    "endless loop in C": ("print(len(str(7 ** 10**9)))", {"time"}, ""),
    "sleep": ("import time; time.sleep(600)", {"time"}, ""),
    "4 GB": ("x = bytearray(4 << 30)", {"raised"}, "MemoryError"),
    "4 GB bit by bit": ("x = []\nwhile True: x.append(bytearray(1 << 20))", {"raised", "time"}, ""),
    "reads /etc/shadow": ("print(open('/etc/shadow').read())", {"raised"}, "Permission denied"),
    "reads /etc/passwd": ("print(open('/etc/passwd').read())", {"raised"}, "Permission denied"),
    "reads its environment": ("print(open('/proc/self/environ').read())", {"raised"}, "Permission denied"),
    "reads its parent's": ("import os; open(f'/proc/{os.getppid()}/environ').read()", {"raised"}, "Error"),
    "reads secrets": ("import os; print(os.listdir('/run/secrets'))", {"raised"}, "Error"),
    "opens a socket": ("import socket; socket.socket()", {"raised"}, "Operation not permitted"),
    "opens a local socket": ("import socket; socket.socket(socket.AF_UNIX)", {"raised"}, "Operation not permitted"),
    "fills the disk with a file": ("f = open('x', 'wb')\nwhile True: f.write(bytes(1 << 20))", {"raised", "disk"}, ""),
    "fills the disk with files": (
        "n = 0\nwhile True:\n  n += 1\n  open(str(n), 'wb').write(bytes(1 << 20))",
        {"disk"},
        "",
    ),
    "makes many files": ("n = 0\nwhile True:\n  n += 1\n  open(str(n), 'wb').close()", {"disk", "time"}, ""),
    "writes elsewhere": ("open('/tmp/escaped', 'w')", {"raised"}, "Error"),
    "makes a folder": ("import os; os.mkdir('deep')", {"raised"}, "Permission denied"),
    "kills its parent": ("import os; os.kill(os.getppid(), 9)", {"raised"}, "Operation not permitted"),
    "kills everyone": ("import os; os.kill(-1, 9)", {"raised"}, "Operation not permitted"),
    "kills its group": ("import os; os.kill(0, 9)", {"raised"}, "Operation not permitted"),
    "leaves its group": ("import os; os.setsid()", {"raised"}, "Operation not permitted"),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", {"crashed"}, ""),
    "crashes": ("import ctypes; ctypes.string_at(0)", {"crashed"}, ""),
    "starts a shell": ("import subprocess; subprocess.run(['sh', '-c', 'id'])", {"raised"}, "Operation not permitted"),
    "becomes a shell": ("import os; os.execv('/bin/sh', ['sh'])", {"raised"}, "Operation not permitted"),
    "starts a thousand threads": (
        "import threading, time\nthreading.stack_size(1 << 15)\n"
        "for _ in range(1000): threading.Thread(target=time.sleep, args=(600,)).start()",
        {"threads", "raised"},
        "",
    ),
    "prints without end": ("while True: print('x' * 1000)", {"output"}, ""),
    "complains without end": ("import sys\nwhile True: print('x' * 1000, file=sys.stderr)", {"output"}, ""),
    "changes its parent's limits": (
        "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
        {"raised"},
        "Operation not permitted",
    ),
    "slows its parent down": (
        "import os; os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        {"raised"},
        "Operation not permitted",
    ),
    "takes its parent's processors": (
        "import os; os.sched_setaffinity(os.getppid(), {0})",
        {"raised"},
        "Operation not permitted",
    ),
    "has its parent run last": (
        "import os; os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))",
        {"raised"},
        "Operation not permitted",
    ),
    "changes how its parent is run": (
        "import os; os.sched_setparam(os.getppid(), os.sched_param(0))",
        {"raised"},
        "Operation not permitted",
    ),
    "changes it by attributes": (
        _BY_NUMBER.format(
            name="sched_setattr", x86_64=314, aarch64=274, more="struct.pack('IIQiIQQQ', 48, 3, 0, 19, *[0] * 4), 0"
        ),
        {"raised"},
        "Errno 1",
    ),
    "takes its parent's disk": (
        _BY_NUMBER.format(name="ioprio_set", x86_64=251, aarch64=30, more="3 << 13").replace(
            "(number, ", "(number, 1, "
        ),
        {"raised"},
        "Errno 1",
    ),
    "has its parent signalled": (
        "import fcntl, os; fcntl.fcntl(0, 8, os.getppid())  # F_SETOWN",
        {"raised"},
        "Operation not permitted",
    ),
    "has its parent's thread signalled": (
        "import fcntl, os, struct; fcntl.fcntl(0, 15, struct.pack('ii', 0, os.getppid()))  # F_SETOWN_EX",
        {"raised"},
        "Operation not permitted",
    ),
    "chooses a deadly signal": (
        "import fcntl; fcntl.fcntl(0, 10, 9)  # F_SETSIG",
        {"raised"},
        "Operation not permitted",
    ),
    "has its parent signalled by a socket": (
        "import fcntl, os, socket, struct; a, b = socket.socketpair()\n"
        "fcntl.ioctl(a, 0x8901, struct.pack('i', os.getppid()))  # FIOSETOWN",
        {"raised"},
        "Operation not permitted",
    ),
    "has its parent's group signalled by a socket": (
        "import fcntl, os, socket, struct; a, b = socket.socketpair()\n"
        "fcntl.ioctl(a, 0x8902, struct.pack('i', -os.getpgrp()))  # SIOCSPGRP",
        {"raised"},
        "Operation not permitted",
    ),
    "closes its pipes and sleeps": ("import os, time; os.closerange(0, 9); time.sleep(600)", {"time"}, ""),
    "closes its pipes and fills the disk": (
        "import os\nos.closerange(0, 9)\nn = 0\nwhile True:\n  n += 1\n"
        "  with open(str(n), 'wb') as f: f.write(bytes(1 << 20))",
        {"disk"},
        "",
    ),
    "looks into its parent": (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.ptrace(16, os.getppid(), 0, 0): raise OSError(ctypes.get_errno(), 'ptrace')",
        {"raised"},
        "Errno 1",
    ),
    # what Landlock does not look at: modes, owners, times, attributes, lengths
    "changes its folder's mode": ("import os; os.chmod('.', 0)", {"raised"}, "Operation not permitted"),
    "changes the mode of Python": ("import os; os.chmod(os.__file__, 0o777)", {"raised"}, "Operation not permitted"),
    "changes the mode of an open file": ("import os; os.fchmod(0, 0)", {"raised"}, "Operation not permitted"),
    "gives its folder away": ("import os; os.chown('.', -1, -1)", {"raised"}, "Operation not permitted"),
    "changes times": ("import os; os.utime('.', (1, 1))", {"raised"}, "Operation not permitted"),
    "sets attributes": ("import os; os.setxattr('.', 'user.mark', b'here')", {"raised"}, "Operation not permitted"),
    "truncates by path": (
        "import os; open('x', 'w').write('x'); os.truncate('x', 0)",
        {"raised"},
        "Operation not permitted",
    ),
    "empties what it only reads": ("import os; os.open(os.__file__, os.O_TRUNC)", {"raised"}, "not permitted"),
    "opens for neither reading nor writing": ("import os; os.open('/etc/passwd', 3)", {"raised"}, "not permitted"),
    "opens a path without its content": ("import os; os.open('/root', os.O_PATH)", {"raised"}, "not permitted"),
    # what watches or holds up others
    "watches a folder": (_BY_NAME.format(call="inotify_init1(0)", name="inotify"), {"raised"}, "Errno 1"),
    "is notified by a signal": (
        "import fcntl, os; fcntl.fcntl(os.open('.', os.O_RDONLY), 1026, 2)  # F_NOTIFY",
        {"raised"},
        "Operation not permitted",
    ),
    "takes a lease": (
        "import fcntl, os; fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 1024, 0)  # F_SETLEASE",
        {"raised"},
        "Operation not permitted",
    ),
    "locks a file of Python's": (
        "import fcntl, os; fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX)",
        {"raised"},
        "Operation not permitted",
    ),
    "locks a part of it": (
        "import fcntl, os; fcntl.lockf(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_SH)",
        {"raised"},
        "Operation not permitted",
    ),
    "writes out the machine's files": (
        _BY_NUMBER.format(name="syncfs", x86_64=306, aarch64=267, more="0"),
        {"raised"},
        "Errno 1",
    ),
    "writes through to the disk": (
        "import os; os.open('x', os.O_CREAT | os.O_WRONLY | os.O_SYNC)",
        {"raised"},
        "Operation not permitted",
    ),
    "takes contexts of the machine's": (
        _BY_NUMBER.format(name="io_setup", x86_64=206, aarch64=0, more="0"),
        {"raised"},
        "Errno 1",
    ),
    "takes the pipes' memory": (
        "import fcntl, os; fcntl.fcntl(os.pipe()[0], 1031, 1 << 20)  # F_SETPIPE_SZ",
        {"raised"},
        "Operation not permitted",
    ),
    "takes huge pages": ("import mmap; mmap.mmap(-1, 1 << 21, flags=0x40022)", {"raised"}, "Operation not permitted"),
    # what outlives a test
    "outlives its parent": (_BY_NAME.format(call="prctl(1, 0, 0, 0, 0)", name="prctl"), {"raised"}, "Errno 1"),
    "can be looked into": (_BY_NAME.format(call="prctl(4, 1, 0, 0, 0)", name="prctl"), {"raised"}, "Errno 1"),
    "adopts orphans": (_BY_NAME.format(call="prctl(36, 1, 0, 0, 0)", name="prctl"), {"raised"}, "Errno 1"),
    "stops itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", {"time"}, ""),
    "ignores every signal": (
        "import signal\nfor number in range(1, 65):\n"
        "  try: signal.signal(number, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: pass",
        {"time"},
        "",
    ),
    "ends its first thread and lives on": (
        "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
        "import os; ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)",
        {"time"},
        "",
    ),
    # the disk
    "holds files without names": (
        "import os\nheld = []\n"
        "while len(held) < 20: held.append(os.open('x', os.O_CREAT | os.O_RDWR)); os.unlink('x')\n" + _HELD,
        {"raised"},
        "Operation not permitted",
    ),
    "holds files that never had one": (
        "import os\nheld = [os.open('.', os.O_TMPFILE | os.O_RDWR) for _ in range(20)]\n" + _HELD,
        {"raised"},
        "Operation not permitted",
    ),
    "holds mapped files": (
        "import mmap, os\nheld = []\nfor n in range(20):\n  f = os.open(str(n), os.O_CREAT | os.O_RDWR)\n"
        "  os.posix_fallocate(f, 0, 15 << 20); held.append(mmap.mmap(f, 15 << 20)); os.close(f)\n" + _HELD,
        {"disk"},
        "",
    ),
    "holds files in flight": (
        "import os, socket\na, b = socket.socketpair()\n"
        "f = os.open('x', os.O_CREAT | os.O_RDWR); socket.send_fds(a, [b'.'], [f])",
        {"raised"},
        "Operation not permitted",
    ),
    "puts a file in another's place": (
        "import os; open('x', 'w').close(); os.rename('x', 'y')",
        {"raised"},
        "Operation not permitted",
    ),
    "gives a file a second name": (
        "import os; open('x', 'w').close(); os.link('x', 'y')",
        {"raised"},
        "Operation not permitted",
    ),
    "makes a link": ("import os; os.symlink('/etc/passwd', 'x')", {"raised"}, "Operation not permitted"),
    "makes a pipe with a name": ("import os; os.mkfifo('x')", {"raised"}, "Operation not permitted"),
    "writes to its input": ("import os; os.pwrite(0, bytes(1 << 20), 0)", {"raised"}, "Operation not permitted"),
    "lets its input grow": ("import os; os.ftruncate(0, 15 << 20)", {"raised"}, "not permitted"),
    "holds memory as a file": ("import os; os.memfd_create('x')", {"raised"}, "Operation not permitted"),
    "makes files that it cannot read": (
        "import os; os.umask(0o777); open('x', 'w').write('x'); open(b'\\xff\\xfe', 'w').write('x')",
        {"wrong"},
        "",
    ),
    "raises its limits": (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))",
        {"raised"},
        "not allowed to raise",
    ),
    # the verdict
    **{f"ends with status {status}": (f"import os; os._exit({status})", {"raised"}, "") for status in (2, 3, 126, 255)},
    "ends at once": ("import os; os._exit(0)", {"wrong"}, ""),
    "writes to every descriptor": (
        "import os\nfor n in range(1, 5000):\n"
        '  try: os.write(n, b\'{"outcome": "passed"}\\nconfined\')\n  except OSError: pass',
        {"wrong"},
        "",
    ),
    "takes the runner's functions": (
        "import os, json, sys\nos._exit = lambda *_: None\njson.dumps = lambda *_, **__: '3'\n"
        "sys.modules.pop('solution_runner')",
        {"wrong", "raised"},
        "",
    ),
    "raises what cannot be shown": (
        "class Odd(BaseException):\n  def __str__(self): raise SystemExit(0)\nraise Odd",
        {"raised"},
        "",
    ),
    "is too deep to be read": ("(" * 100_000, {"raised", "crashed"}, ""),
    "never comes back": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        {"crashed", "raised", "time"},
        "",
    ),
    # what is not the standard library
    "lists installed packages": (
        "import os, sys; print(os.listdir(os.path.join(os.path.dirname(os.__file__), 'site-packages')))",
        {"raised"},
        "Error",
    ),
    "imports an installed package": ("import pydantic", {"raised"}, "ModuleNotFoundError"),
    "imports what runs it": ("import gymctl", {"raised"}, "ModuleNotFoundError"),
    "reads the system's packages": ("import os; print(os.listdir('/usr/lib/python3'))", {"raised"}, "Error"),
    "makes system calls of another kind of machine": (_INT_80, {"crashed"}, ""),
    "makes system calls of x32": (
        _CALLS.format(calls="[(0x40000000 + number, 1000, [0]) for number in (39, 57, 59, 520)]"),
        {"raised"},
        "all refused",
    ),
    "asks the kernel for rings and programs": (  # io_uring_setup, bpf, perf_event_open, userfaultfd, add_key, keyctl
        _CALLS.format(
            calls="[(425, 425, [8, 0]), (321, 280, [0, 0, 0]), (298, 241, [0, 0, -1, -1, 0]), (323, 282, [0]), "
            "(248, 217, [b'user', b'x', b'y', 1, -3]), (250, 219, [0, -3, 1])]"
        ),
        {"raised"},
        "all refused",
    ),
    "takes hold of processes": (  # pidfd_open, pidfd_getfd, process_vm_writev, kcmp, ptrace, tkill, rt_sigqueueinfo
        _CALLS.format(
            calls="[(434, 434, [os.getppid(), 0]), (438, 438, [0, 0, 0]), (311, 271, [os.getppid(), 0, 0, 0, 0, 0]), "
            "(312, 272, [os.getpid(), os.getppid(), 0, 0, 0]), (101, 117, [16, os.getppid(), 0, 0]), "
            "(200, 130, [os.getppid(), 9]), (129, 138, [os.getppid(), 9, 0])]"
        ),
        {"raised"},
        "all refused",
    ),
    "leaves its namespaces": (  # unshare, setns, mount, umount2, pivot_root, chroot, open_tree, fsopen, move_mount
        _CALLS.format(
            calls="[(272, 97, [0x10000000]), (308, 268, [0, 0]), (165, 40, [0, b'/', b'tmpfs', 0, 0]), "
            "(166, 39, [b'/proc', 2]), (155, 41, [b'.', b'.']), (161, 51, [b'.']), (428, 428, [-100, b'/', 1]), "
            "(430, 430, [b'tmpfs', 0]), (429, 429, [-100, b'.', -100, b'.', 0])]"
        ),
        {"raised"},
        "all refused",
    ),
    "opens files by handles": (  # name_to_handle_at, open_by_handle_at, fanotify_init, quotactl, acct, swapon
        _CALLS.format(
            calls="[(303, 264, [-100, b'/', 0, 0, 0]), (304, 265, [-100, 0, 0]), (300, 262, [0, 0]), "
            "(179, 60, [0, 0, 0, 0]), (163, 89, [b'x']), (167, 224, [b'x', 0])]"
        ),
        {"raised"},
        "all refused",
    ),
    "takes memory that no limit counts": (  # shmget, semget, msgget, mq_open, memfd_secret, mlock, mlockall, vmsplice
        _CALLS.format(
            calls="[(29, 194, [0, 1 << 20, 0o1600]), (64, 190, [0, 8, 0o1600]), (68, 186, [0, 0o1600]), "
            "(240, 180, [b'x', 0o102, 0o600, 0]), (447, 447, [0]), (149, 228, [0, 4096]), (151, 230, [1]), "
            "(278, 75, [1, 0, 0, 0])]"
        ),
        {"raised"},
        "all refused",
    ),
    "wakes up later": (  # timer_create, timerfd_create, signalfd4
        _CALLS.format(calls="[(222, 107, [1, 0, 0]), (283, 85, [1, 0]), (289, 74, [-1, bytes(8), 8, 0])]"),
        {"raised"},
        "all refused",
    ),
    "sets the machine's clock and name": (  # clock_settime, settimeofday, adjtimex, sethostname, reboot, syslog
        _CALLS.format(
            calls="[(227, 112, [0, bytes(16)]), (164, 170, [bytes(16), 0]), (159, 171, [bytes(256)]), "
            "(170, 161, [b'x', 1]), (169, 142, [0, 0, 0, 0]), (103, 116, [5, 0, 0])]"
        ),
        {"raised"},
        "all refused",
    ),
    "lifts its own limits": (  # seccomp, landlock_create_ruleset, capset, setuid, setresuid, personality, iopl
        _CALLS.format(
            calls="[(317, 277, [1, 0, 0]), (444, 444, [0, 0, 1]), (126, 91, [0, 0]), (105, 146, [0]), "
            "(117, 147, [0, 0, 0]), (135, 92, [0x40000])]"
        ),
        {"raised"},
        "all refused",
    ),
    "runs a file that it wrote": (
        "import os\nopen('x', 'wb').write(b'#!/bin/sh\\nid\\n')\nos.execv('./x', ['x'])",
        {"raised"},
        "Error",
    ),
    "reads its own memory as a file": ("print(open('/proc/self/mem', 'rb').read(1))", {"raised"}, "Permission denied"),
    "reads what others run": ("import os; print(os.listdir('/proc'))", {"raised"}, "Permission denied"),
    "reads the devices": ("print(open('/dev/kmsg', 'rb').read(1))", {"raised"}, "Error"),
    "writes to shared memory": ("open('/dev/shm/x', 'w')", {"raised"}, "Error"),
    "takes a lock that others wait for": (
        "from multiprocessing import Lock; Lock()",
        {"raised"},
        "Error",
    ),
    "makes its output a row of packets": (
        "import fcntl, os\nfcntl.fcntl(1, 4, os.O_DIRECT | os.O_NONBLOCK)\nwhile True:\n"
        "  try: os.write(1, b'x')\n  except BlockingIOError: pass",
        {"time", "output"},
        "",
    ),
    "is signalled without end": (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)\nwhile True: pass",
        {"time"},
        "",
    ),
    "makes files with names that cannot be shown": (
        "for n in range(2000): open(b'\\xff\\n\\x1b[2J' + str(n).encode() * 40, 'wb').close()",
        {"disk", "time"},
        "",
    ),
    "returns what has no end": ("print(len([0] * (10 ** 15)))", {"raised"}, "MemoryError"),
}
