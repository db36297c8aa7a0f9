"""A certificate for the edge, with a private CA of its own whose key is not kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from gymctl.errors import InputError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_VALID = timedelta(days=397)
_RENEWED_BEFORE = timedelta(days=30)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_CLOCKS_DIFFER = timedelta(hours=1)


def created_certificate(names: Sequence[str]) -> str:
    """A new certificate for ``names`` (host names and addresses), the CA's and the private key, in PEM.

    Nobody has the key of the CA: clients that trust it accept this certificate only.

    Raises:
        InputError: the package that creates certificates is not installed.
    """
    _check_package()
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    ca_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _signed("gymctl edge CA", ca_key.public_key(), "gymctl edge CA", ca_key, ())
    certificate = _signed("gymctl edge", key.public_key(), "gymctl edge CA", ca_key, names)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    parts = (certificate.public_bytes(Encoding.PEM), ca.public_bytes(Encoding.PEM), private)
    return b"".join(parts).decode("ascii")


def serves(pem: str, names: Sequence[str]) -> bool:
    """Whether the first certificate in ``pem`` is valid for another month, for exactly ``names``; False if unreadable.

    Raises:
        InputError: the package that reads certificates is not installed.
    """
    _check_package()
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        subjects = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    remaining = certificate.not_valid_after_utc - datetime.now(UTC)
    return remaining > _RENEWED_BEFORE and {str(subject.value) for subject in subjects} == set(names)


def ca_certificate(pem: str) -> str:
    """The last certificate in ``pem``: the CA's."""
    return f"{_CERTIFICATE.findall(pem)[-1]}\n"


def _signed(
    subject: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: str,
    ca_key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
) -> x509.Certificate:
    """A certificate signed with ``ca_key``: a server's for ``names``, or without names the CA's own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    now = datetime.now(UTC)
    is_ca = not names
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(_key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if not is_ca:
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        subjects = x509.SubjectAlternativeName(map(_general_name, names))
        builder = builder.add_extension(server, critical=False).add_extension(subjects, critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _check_package() -> None:
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ImportError:
        hint = "pip install 'gymctl[edge]', or set edge.certificate_file and edge.key_file"
        raise InputError("edge: the package cryptography, which creates certificates, is missing", hint) from None
