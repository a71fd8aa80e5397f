"""Certificates of every kind, made on the spot."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVER_NAME = "authsvc.internal"


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, as PEM."""

    certificate: bytes
    key: bytes


def issue(ca: trustme.CA | None, *sans: x509.GeneralName, common_name: str = "nobody") -> Pair:
    """Return a certificate with exactly these names, signed by the authority or, without one, by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    issuer, signer = subject, key
    if ca is not None:
        issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
        signer = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)  # type: ignore[assignment]
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def server_pair(ca: trustme.CA) -> Pair:
    """Return a certificate for our own name."""
    return issue(ca, x509.DNSName(SERVER_NAME))


def write(folder: Path, pair: Pair, client_ca: trustme.CA | None) -> None:
    """Put the files of a listener into a folder."""
    (folder / "server.pem").write_bytes(pair.certificate)
    (folder / "server.key").write_bytes(pair.key)
    if client_ca is not None:
        (folder / "clients.pem").write_bytes(client_ca.cert_pem.bytes())


def channel(address: str, trusted: trustme.CA, client: Pair | None) -> grpc.aio.Channel:
    """Return a client that trusts an authority and may present a certificate."""
    credentials = grpc.ssl_channel_credentials(
        trusted.cert_pem.bytes(),
        None if client is None else client.key,
        None if client is None else client.certificate,
    )
    options = [("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.secure_channel(address, credentials, options)
