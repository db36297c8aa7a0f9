"""The token and the certificate of a stack's ``edge``: read from its directory, or created."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config import Config
from gymctl.config.blocks.edge import EdgeKeys
from gymctl.config.vocabulary import EDGE_BLOCK, EDGE_CERTIFICATE, EDGE_TOKEN, EVERY_INTERFACE, LOOPBACK, LOOPBACK_HOSTS
from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import FOLDER, state_folder
from gymctl.engines.token_files import (
    EDGE_CA_FILE,
    EDGE_CERTIFICATE_FILE,
    EDGE_TOKEN_FILE,
    store_text,
    stored_text,
)
from gymctl.errors import InputError
from gymctl.operations.edge_certificate import ca_certificate, created_certificate, serves

if TYPE_CHECKING:
    from gymctl.stack.addons.tls_edge import EdgeIdentity

TOKEN_FILE = Path(FOLDER, EDGE_TOKEN_FILE)
CA_FILE = Path(FOLDER, EDGE_CA_FILE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")  # RFC 6750


def refuse_edge(config: Config, engine: str) -> None:
    """Check that a configuration has no ``edge``, for ``engine``, which cannot start one.

    Raises:
        InputError: it has one.
    """
    if config.edge is not None:
        where = config.origins.of((EDGE_BLOCK,))
        message = f"{where}: edge is not available {engine}" if where else f"edge is not available {engine}"
        raise InputError(message, "use containers on one machine or a Swarm, or remove the block with ++edge=null")


def edge_identity(
    config: Config, directory: Path, *, publish_host: str, has_exposed: bool, is_swarm: bool
) -> EdgeIdentity | None:
    """The token and the certificate of the edge; None where the configuration has none. Nothing is written.

    Args:
        config: the configuration.
        directory: the stack's, which keeps them.
        publish_host: address of this machine that the head is published on.
        has_exposed: whether servers are published without TLS.
        is_swarm: whether the stack is for a Swarm.

    Raises:
        InputError: the stack cannot have an edge, or a file is missing or wrong.
    """
    from gymctl.stack.addons.tls_edge import EdgeIdentity

    keys = config.edge
    if keys is None:
        return None
    if is_swarm:
        _check_swarm_address(config, keys)
    if config.membership is not None:
        refuse_edge(config, "with --role")
    _check_alone(publish_host, has_exposed=has_exposed)
    token = os.environ.get(EDGE_TOKEN) or stored_text(directory, EDGE_TOKEN_FILE) or secrets.token_urlsafe(32)
    if not _TOKEN.fullmatch(token):
        message = f"the token in {EDGE_TOKEN} or {TOKEN_FILE} must have at least 16 of A-Z a-z 0-9 - . _ ~ + /"
        raise InputError(message, "remove it for a new one")
    if keys.certificate_file is not None and keys.key_file is not None:
        folder = config.source.directory
        certificate = _own_certificate(folder / keys.certificate_file, folder / keys.key_file)
        ca_file = ""
    else:
        certificate = _certificate(keys, directory)
        ca_file = str(CA_FILE)
    return EdgeIdentity(
        token=token,
        certificate=certificate,
        token_file=str(TOKEN_FILE),
        ca_file=ca_file,
        machine="NODE" if is_swarm else "localhost",
    )


def store_edge(config: Config, directory: Path, stack_secrets: Mapping[str, str]) -> None:
    """Write the token and the certificate of an edge for this user only, and the CA's; ``down`` leaves them.

    Raises:
        EngineError: the directory cannot be written.
    """
    if EDGE_TOKEN not in stack_secrets or config.edge is None:
        return
    store_text(directory, EDGE_TOKEN_FILE, stack_secrets[EDGE_TOKEN])
    if config.edge.certificate_file is None:
        certificate = stack_secrets[EDGE_CERTIFICATE]
        store_text(directory, EDGE_CERTIFICATE_FILE, certificate.strip())
        write_atomically(state_folder(directory) / EDGE_CA_FILE, ca_certificate(certificate), mode=0o644)


def _check_swarm_address(config: Config, keys: EdgeKeys) -> None:
    """Check that Swarm can publish the port of the edge.

    Raises:
        InputError: it has an address, and Swarm publishes on all.
    """
    if keys.address == EVERY_INTERFACE:
        return
    where = config.origins.of((EDGE_BLOCK, "address")) or config.origins.of((EDGE_BLOCK,))
    place = f"{where}: " if where else ""
    message = f"{place}edge.address is {keys.address}, but Swarm cannot publish a port on one address"
    raise InputError(
        message, f"set edge.address: {EVERY_INTERFACE}, which is every address of the node that it runs on"
    )


def _check_alone(publish_host: str, *, has_exposed: bool) -> None:
    """Check that nothing is published without TLS next to the edge.

    Raises:
        InputError: something is.
    """
    if has_exposed:
        message = "--expose publishes servers without TLS and token, next to the edge"
        raise InputError(message, "list them in edge.servers, or remove the block with ++edge=null")
    if publish_host not in LOOPBACK_HOSTS:
        message = f"--publish {publish_host} publishes the head without TLS and token, next to the edge"
        raise InputError(message, f"set edge.address={publish_host} instead; the edge forwards requests to the head")


def _certificate(keys: EdgeKeys, directory: Path) -> str:
    """The certificate that the directory has, if it is valid for the names of the edge, else a new one."""
    names = [*keys.names, "localhost", LOOPBACK]
    if keys.address != EVERY_INTERFACE:
        names.append(keys.address)
    names = list(dict.fromkeys(names))
    stored = stored_text(directory, EDGE_CERTIFICATE_FILE)
    if stored and serves(stored, names):
        return f"{stored}\n"
    return created_certificate(names)


def _own_certificate(certificate: Path, key: Path) -> str:
    """The user's certificate, with its chain, and key.

    Raises:
        InputError: a file cannot be read, the key has a passphrase or does not belong to the certificate.
    """
    import ssl

    texts = [_own(certificate, "certificate_file"), _own(key, "key_file")]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError, OSError) as error:
        message = f"edge: {certificate} and {key} cannot be used: {getattr(error, 'reason', None) or error}"
        raise InputError(message, "name a certificate and its private key, in PEM and without a passphrase") from None
    return "".join(f"{text.strip()}\n" for text in texts)


def _own(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"edge.{name}: {path} cannot be read: {error}", "name a file in PEM") from error


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")
