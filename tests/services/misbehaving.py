"""Programs that try to do harm, and how each of their tests is to end: what the sandbox is measured by."""

from __future__ import annotations

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
    "looks into its parent": (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.ptrace(16, os.getppid(), 0, 0): raise OSError(ctypes.get_errno(), 'ptrace')",
        {"raised"},
        "Errno 1",
    ),
}
