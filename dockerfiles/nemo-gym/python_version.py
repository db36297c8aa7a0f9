"""Arguments for uv on a Python that is an older patch release than NeMo Gym requires: ``python_version.py 3.13.14``.

Its code runs on any patch release of the series (0.6.0 and 0.7.0 were run on 3.13.0), so packages are resolved as for
the required one. Nothing is printed for a Python that is new enough, and none of another series, which uv then rejects.
"""

from __future__ import annotations

import sys


def main(required: str, running: tuple[int, int, int]) -> str:
    """The arguments; a note on standard error says what is done."""
    least = tuple(int(number) for number in required.split("."))
    if running[:2] != least[:2] or running >= least:
        return ""
    version = ".".join(map(str, running))
    note = f"note: this NeMo Gym requires Python {required}; it is installed on the {version} of the base image"
    print(note, file=sys.stderr)
    return f"--python-version {required}"


if __name__ == "__main__":
    print(main(sys.argv[1], sys.version_info[:3]), end="")
