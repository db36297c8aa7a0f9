"""Certificates of networks where a proxy ends TLS, and of endpoints with a company's own authority."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gymctl.errors import InputError

# Where tools read which CA bundle to use, then where distributions keep the machine's own.
_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
_MACHINE_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n?", re.DOTALL)


def find_ca_bundle(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The CA bundle that builds trust: ``path``, else what the environment names, else the machine's.

    Raises:
        InputError: ``path`` does not exist.
    """
    if path is not None:
        if not path.is_file():
            raise InputError(f"the CA bundle {path} does not exist")
        return path
    return next(
        (candidate for candidate in (*_named(environ), *map(Path, _MACHINE_FILES)) if candidate.is_file()), None
    )


def server_certificates(path: Path | None, environ: Mapping[str, str]) -> str:
    """PEM text that servers trust: ``path`` or what the environment names, and the machine's own certificates.

    Empty when neither names more than the machine's own bundle: the images have one of their own.

    Raises:
        InputError: ``path`` does not exist, or contains no certificate.
    """
    if path is None:
        machine = {Path(name).resolve() for name in _MACHINE_FILES}
        path = next(
            (candidate for candidate in _named(environ) if candidate.is_file() and candidate.resolve() not in machine),
            None,
        )
    if path is None:
        return ""
    if not path.is_file():
        raise InputError(f"the CA bundle {path} does not exist")
    own = _certificates(path)
    if not own:
        raise InputError(f"the CA bundle {path} contains no certificate", "use a file in PEM format")
    machine_file = next((Path(name) for name in _MACHINE_FILES if Path(name).is_file()), None)
    if machine_file:
        public = _certificates(machine_file)
    else:
        public = ()
    return "".join(dict.fromkeys((*own, *public)))


def _named(environ: Mapping[str, str]) -> tuple[Path, ...]:
    return tuple(Path(environ[name]) for name in _VARIABLES if environ.get(name))


def _certificates(path: Path) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    return tuple(certificate.rstrip("\n") + "\n" for certificate in _CERTIFICATE.findall(text))
