"""A real rsyslog in a container, which keeps what it receives over TCP."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PORT = 514
_IMAGE = "gymctl-test-rsyslog"
_DOCKERFILE = """\
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends rsyslog
COPY rsyslog.conf /etc/
CMD ["rsyslogd", "-n"]
"""
_CONFIGURATION = """\
module(load="imtcp")
input(type="imtcp" port="514")
template(name="tag-and-message" type="string" string="%syslogfacility-text% %syslogtag% %msg%\\n")
action(type="omfile" file="/var/log/shipped" template="tag-and-message")
"""


def docker(*arguments: str) -> str:
    """What a docker command on this machine's engine prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Rsyslog:
    """A running rsyslog."""

    container: str

    @property
    def port(self) -> int:
        """The published port, on this machine."""
        return int(docker("port", self.container, f"{PORT}/tcp").rpartition(":")[2])

    def on_network(self, network: str, field: str) -> str:
        """A field of its connection to a network: ``IPAddress``, or ``Gateway``, which is this machine."""
        form = f'{{{{(index .NetworkSettings.Networks "{network}").{field}}}}}'
        return docker("inspect", "--format", form, self.container)

    def lines(self) -> list[str]:
        """Facility, tag and message of each line that it received."""
        return docker("exec", self.container, "sh", "-c", "cat /var/log/shipped || true").splitlines()


@contextmanager
def running_rsyslog(*options: str) -> Iterator[Rsyslog]:
    """An rsyslog, started with these options of ``docker run``."""
    with TemporaryDirectory() as context:
        Path(context, "Dockerfile").write_text(_DOCKERFILE)
        Path(context, "rsyslog.conf").write_text(_CONFIGURATION)
        docker("build", "--quiet", "--tag", _IMAGE, context)
    container = docker("run", "--detach", *options, _IMAGE)
    try:
        yield Rsyslog(container)
    finally:
        docker("rm", "--force", container)
