"""Programs that try to do harm, and how each of their tests is to end: what the sandbox is measured by."""

from __future__ import annotations

# A system call on the parent that neither Python nor the C library has a name for.
_BY_NUMBER = (
    "import ctypes, os, struct; libc = ctypes.CDLL(None, use_errno=True)\n"
    "number = {{'x86_64': {x86_64}, 'aarch64': {aarch64}}}[os.uname().machine]\n"
    "if libc.syscall(number, os.getppid(), {more}) < 0: raise OSError(ctypes.get_errno(), '{name}')"
)

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
    "makes many files": ("n = 0\nwhile True:\n  n += 1\n  open(str(n), 'wb').close()", {"disk"}, ""),
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
}
