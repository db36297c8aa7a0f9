"""Which engine ``docker`` talks to: the same rules as the command's own, since the SDK ignores ``DOCKER_CONTEXT``.

``DOCKER_HOST`` first, then ``DOCKER_CONTEXT``, then the context of ``docker context use``, then the default socket.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.errors import EngineError

if TYPE_CHECKING:
    from docker.tls import TLSConfig

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT = "default"


@dataclass(frozen=True)
class DockerEndpoint:
    """An engine's address, and the folder of its certificates where TLS is used."""

    address: str
    context: str = "default"
    """The context that it belongs to, and the name of the builder that is part of the engine."""
    certificates: Path | None = None
    verify: bool = True

    @property
    def socket(self) -> str:
        """The path of its Unix socket; empty when it is reached in another way."""
        if self.address.startswith("unix://"):
            return self.address.removeprefix("unix://")
        return ""

    def tls(self) -> TLSConfig | None:
        """TLS settings for the SDK; None without TLS."""
        if self.certificates is None:
            return None
        from docker.tls import TLSConfig

        cert, key, authority = (self.certificates / name for name in ("cert.pem", "key.pem", "ca.pem"))
        if cert.is_file() and key.is_file():
            client = (str(cert), str(key))
        else:
            client = None
        return TLSConfig(
            client_cert=client,
            ca_cert=str(authority) if authority.is_file() else None,
            verify=self.verify,
        )


def engine_endpoint(environ: Mapping[str, str]) -> DockerEndpoint:
    """The endpoint that ``docker`` uses in the environment ``environ``.

    Raises:
        EngineError: the context does not exist.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    if environ.get("DOCKER_HOST"):
        return _of_environment(environ, folder)
    name = environ.get("DOCKER_CONTEXT") or str(_json(folder / "config.json").get("currentContext") or "")
    if name in ("", _DEFAULT_CONTEXT):
        return DockerEndpoint(DEFAULT_SOCKET)
    identity = hashlib.sha256(name.encode()).hexdigest()
    described = _json(folder / "contexts" / "meta" / identity / "meta.json").get("Endpoints", {}).get("docker")
    if not isinstance(described, dict):
        raise EngineError(f"unknown Docker context {name!r}", "docker context ls lists them")
    certificates = folder / "contexts" / "tls" / identity / "docker"
    return DockerEndpoint(
        context=name,
        address=str(described.get("Host") or DEFAULT_SOCKET),
        certificates=certificates if certificates.is_dir() else None,
        verify=not described.get("SkipTLSVerify"),
    )


def _of_environment(environ: Mapping[str, str], folder: Path) -> DockerEndpoint:
    """``DOCKER_HOST``, with TLS where ``DOCKER_TLS_VERIFY`` or ``DOCKER_TLS`` is set."""
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    certificates = Path(environ.get("DOCKER_CERT_PATH") or folder)
    uses_tls = verify or bool(environ.get("DOCKER_TLS"))
    return DockerEndpoint(environ["DOCKER_HOST"], certificates=certificates if uses_tls else None, verify=verify)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if isinstance(value, dict):
        return value
    return {}
