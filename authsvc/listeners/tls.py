"""TLS and mTLS of the standard listeners, with certificates that can be replaced while serving."""

from __future__ import annotations

import logging
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import grpc

from authsvc.domain.errors import StartupError
from authsvc.listeners.standard import Context, PeerCheck

_LOG = logging.getLogger(__name__)

# The typed properties: `x509_subject_alternative_name` mixes DNS names and URIs, and a common name
# is no identity. Whoever signs certificates may hold clients to names of one type and not of the other.
_DNS = ("peer_dns",)
_URI = ("peer_uri", "peer_spiffe_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files of one listener. With a `client_ca` a client must present a certificate it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None
    reload_seconds: float


class _Reloader:
    """Reads the files again, at most every `reload_seconds`, when a new connection arrives."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._read = self._contents()
        self._looked = time.monotonic()
        self.initial = self._configuration()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """Return a new configuration, or None to go on with the last one."""
        now = time.monotonic()
        if now - self._looked < self._files.reload_seconds:
            return None
        self._looked = now
        try:
            found = self._contents()
        except OSError:
            # A half-done replacement must not cut off everybody: the old certificate goes on.
            _LOG.error("the TLS files cannot be read; the previous ones stay in use")
            return None
        if found == self._read:
            return None
        self._read = found
        _LOG.info("the TLS files were read again")
        return self._configuration()

    def _contents(self) -> tuple[bytes, bytes, bytes | None]:
        files = self._files
        client_ca = None if files.client_ca is None else files.client_ca.read_bytes()
        return files.key.read_bytes(), files.certificate.read_bytes(), client_ca

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        key, certificate, client_ca = self._read
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=client_ca)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that follow the files. Raises `StartupError` when one cannot be read."""
    try:
        reloader = _Reloader(files)
    except OSError as error:
        raise StartupError(f"TLS: {error.filename}: {error.strerror}") from None
    return grpc.dynamic_ssl_server_credentials(
        reloader.initial,
        reloader,  # type: ignore[arg-type]  # grpc documents None for "unchanged"; the stubs forgot it
        require_client_authentication=files.client_ca is not None,
    )


def named_peers(clients: frozenset[str]) -> PeerCheck:
    """Return the check that a peer's certificate carries one of these DNS names or URIs, exactly and as such."""
    # A URI has a colon, which no DNS name has.
    allowed = {(name, client.encode()) for client in clients for name in (_URI if ":" in client else _DNS)}

    def admits(context: Context) -> bool:
        properties = context.auth_context()
        named = [value for name in (*_DNS, *_URI) for value in properties.get(name, ()) if (name, value) in allowed]
        certificates = [_der(pem) for pem in properties.get("x509_pem_cert", ())] if named else []
        # The properties end at a NUL: of `good\0.evil.example` they tell `good`.
        return bool(certificates) and any(
            all(name + b"\0" not in certificate for certificate in certificates) for name in named
        )

    return admits


@lru_cache(maxsize=1024)
def _der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())
