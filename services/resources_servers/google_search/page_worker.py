"""The child that turns HTML into text: a page in, its text out, until its input ends.

It is a process of its own because a page is a stranger's: parsing one may take minutes or gigabytes, and only a
process can be stopped and has limits. Each message is its length in four bytes (big-endian) and UTF-8 text.
"""

from __future__ import annotations

import resource
import struct
import sys

LENGTH = struct.Struct(">I")
_MOST_MEMORY = 1536 * 2**20


def main() -> None:
    """Answer pages until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import trafilatura

    source = sys.stdin.buffer
    sink = sys.stdout.buffer
    while len(size := source.read(LENGTH.size)) == LENGTH.size:
        page = source.read(*LENGTH.unpack(size)).decode()
        text = (trafilatura.extract(page) or "").encode("utf-8", "replace")
        sink.write(LENGTH.pack(len(text)) + text)
        sink.flush()


if __name__ == "__main__":
    main()
