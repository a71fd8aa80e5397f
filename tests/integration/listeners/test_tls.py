"""TLS and mTLS: who may connect, who may call, and how certificates are replaced while serving."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from authsvc_client.v1.auth_service_pb2 import AuthenticateRequest
from cryptography import x509

from authsvc.domain.errors import StartupError
from authsvc.listeners import options, standard, tls
from authsvc.listeners.tls import TlsFiles, named_peers, server_credentials
from tests.integration.listeners.certificates import SERVER_NAME, Pair, channel, issue, server_pair, write
from tests.support.doors import (
    ALLOWED,
    AUTHENTICATE,
    CHECK,
    KEY,
    TIMEOUT,
    UNDECIDED,
    Answer,
    check_request,
    door,
    serving,
)

PEER = "envoy.internal"
SPIFFE = "spiffe://internal/envoy"
MAY = check_request(key=KEY).SerializeToString()
WHO = AuthenticateRequest(api="shop", credential=KEY).SerializeToString()
OURS, CLIENTS, STRANGERS = trustme.CA(), trustme.CA(), trustme.CA()
REFUSED = "refused by the handshake"


def files(folder: Path, *, mutual: bool = True, reload_seconds: float = 0) -> TlsFiles:
    """Name the files of a listener in a folder."""
    return TlsFiles(
        certificate=folder / "server.pem",
        key=folder / "server.key",
        client_ca=folder / "clients.pem" if mutual else None,
        reload_seconds=reload_seconds,
    )


@asynccontextmanager
async def secured(of: TlsFiles, *peers: str) -> AsyncIterator[str]:
    """Serve with TLS; with peers only those may call."""
    admits = named_peers(frozenset(peers)) if peers else None
    async with serving(door(), credentials=server_credentials(of), admits=admits) as served:
        yield served.address


async def check(address: str, client: Pair | None, trusted: trustme.CA = OURS) -> str | tuple[int, int, str]:
    """Ask with a connection of its own: the outcome, or that there was no connection."""
    async with channel(address, trusted, client) as connected:
        try:
            return Answer.of(await connected.unary_unary(CHECK)(MAY, timeout=TIMEOUT)).outcome
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - a refusal is one of the outcomes
            return REFUSED


def peer(ca: trustme.CA | None, *sans: x509.GeneralName, common_name: str = "nobody") -> Pair:
    """Return a client's certificate."""
    return issue(ca, *sans, common_name=common_name)


dns, uri, email = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name
CALLERS: dict[str, tuple[Pair | None, str | tuple[int, int, str]]] = {
    "right-dns-name": (peer(CLIENTS, dns(PEER)), ALLOWED),
    "right-dns-name-among-others": (peer(CLIENTS, dns("a.internal"), dns(PEER)), ALLOWED),
    "right-uri": (peer(CLIENTS, uri(SPIFFE)), ALLOWED),
    "wrong-dns-name": (peer(CLIENTS, dns("other.internal")), UNDECIDED),
    "longer-dns-name": (peer(CLIENTS, dns(PEER + ".evil.example")), UNDECIDED),
    "upper-case-dns-name": (peer(CLIENTS, dns(PEER.upper())), UNDECIDED),
    "wildcard": (peer(CLIENTS, dns("*.internal")), UNDECIDED),
    "common-name-alone": (peer(CLIENTS, common_name=PEER), UNDECIDED),
    "common-name-and-wrong-dns-name": (peer(CLIENTS, dns("other.internal"), common_name=PEER), UNDECIDED),
    "as-email": (peer(CLIENTS, email(f"x@{PEER}")), UNDECIDED),
    "dns-name-as-uri": (peer(CLIENTS, uri(f"https://{PEER}")), UNDECIDED),
    "dns-name-in-place-of-a-uri": (peer(CLIENTS, uri(PEER)), UNDECIDED),
    "uri-in-place-of-a-dns-name": (peer(CLIENTS, dns(SPIFFE)), UNDECIDED),
    "longer-uri": (peer(CLIENTS, uri(SPIFFE + "/x")), UNDECIDED),
    "other-authority": (peer(STRANGERS, dns(PEER)), REFUSED),
    "the-servers-authority": (peer(OURS, dns(PEER)), REFUSED),
    "self-signed": (peer(None, dns(PEER), common_name=PEER), REFUSED),
    "no-certificate": (None, REFUSED),
}


@pytest.mark.parametrize(("client", "expected"), [pytest.param(*case, id=name) for name, case in CALLERS.items()])
async def test_who_may_call_check(client: Pair | None, expected: str | tuple[int, int, str], tmp_path: Path) -> None:
    """Only a certificate of the right authority connects, and only the right name in it is answered."""
    write(tmp_path, server_pair(OURS), CLIENTS)
    async with secured(files(tmp_path), PEER, SPIFFE) as address:
        assert await check(address, client) == expected


async def test_a_name_with_a_nul_is_another_name(tmp_path: Path) -> None:
    """Names are compared as bytes, not as text that ends at a NUL."""
    write(tmp_path, server_pair(OURS), CLIENTS)
    async with secured(files(tmp_path), PEER, SPIFFE) as address:
        assert await check(address, peer(CLIENTS, dns(PEER + "\0.evil.example"))) == UNDECIDED
        assert await check(address, peer(CLIENTS, uri(SPIFFE + "\0/evil"))) == UNDECIDED
        assert await check(address, peer(CLIENTS, dns(PEER + "\0"), dns("other.internal"))) == UNDECIDED


async def test_a_backend_that_is_not_on_the_list(tmp_path: Path) -> None:
    """An RPC is refused by an error with a fixed text, whatever the key."""
    write(tmp_path, server_pair(OURS), CLIENTS)
    async with secured(files(tmp_path), PEER) as address:
        async with channel(address, OURS, peer(CLIENTS, dns("other.internal"))) as connected:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await connected.unary_unary(AUTHENTICATE)(WHO, timeout=TIMEOUT)
        async with channel(address, OURS, peer(CLIENTS, dns(PEER))) as connected:
            answered = await connected.unary_unary(AUTHENTICATE)(WHO, timeout=TIMEOUT)

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert raised.value.details() == "this peer may not call this service"
    assert answered


async def test_without_a_list_any_certificate_of_the_authority_may_call(tmp_path: Path) -> None:
    """Mutual TLS alone admits whom the authority signed."""
    write(tmp_path, server_pair(OURS), CLIENTS)
    async with secured(files(tmp_path)) as address:
        assert await check(address, peer(CLIENTS, dns("any.internal"))) == ALLOWED
        assert await check(address, None) == REFUSED


async def test_plain_tls_needs_no_client_certificate(tmp_path: Path) -> None:
    """Without an authority for clients anybody may connect, who trusts ours."""
    write(tmp_path, server_pair(OURS), None)
    async with secured(files(tmp_path, mutual=False)) as address:
        assert await check(address, None) == ALLOWED
        assert await check(address, None, trusted=STRANGERS) == REFUSED


async def test_a_list_without_certificates_admits_nobody(tmp_path: Path) -> None:
    """A list of names on a listener that asks for no certificate refuses everybody."""
    write(tmp_path, server_pair(OURS), None)
    async with secured(files(tmp_path, mutual=False), PEER) as address:
        assert await check(address, peer(CLIENTS, dns(PEER))) == UNDECIDED


async def test_plaintext_is_not_answered(tmp_path: Path) -> None:
    """A client without TLS gets no connection."""
    write(tmp_path, server_pair(OURS), None)
    async with secured(files(tmp_path, mutual=False)) as address, grpc.aio.insecure_channel(address) as plain:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await plain.unary_unary(CHECK)(MAY, timeout=TIMEOUT)

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def spoken(address: str, version: ssl.TLSVersion) -> str | None:
    """Return the TLS version a client of only this one gets, None when it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=SERVER_NAME) as secure:
                return secure.version()
        except (ssl.SSLError, ConnectionError):
            return None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "answered"),
    [
        pytest.param("TLSv1", None, id="1.0"),
        pytest.param("TLSv1_1", None, id="1.1"),
        pytest.param("TLSv1_2", "TLSv1.2", id="1.2"),
        pytest.param("TLSv1_3", "TLSv1.3", id="1.3"),
    ],
)
async def test_old_versions_are_refused(version: str, answered: str | None, tmp_path: Path) -> None:
    """TLS 1.0 and 1.1 are not spoken."""
    write(tmp_path, server_pair(OURS), None)
    async with secured(files(tmp_path, mutual=False)) as address:
        assert await asyncio.to_thread(spoken, address, ssl.TLSVersion[version]) == answered


async def test_a_new_certificate_is_served_to_the_next_connection(tmp_path: Path) -> None:
    """Replaced files need no restart, and a connection that is open goes on."""
    write(tmp_path, server_pair(OURS), None)
    async with (
        secured(files(tmp_path, mutual=False)) as address,
        channel(address, OURS, None) as old,
    ):
        first = Answer.of(await old.unary_unary(CHECK)(MAY, timeout=TIMEOUT)).outcome
        before = await check(address, None, trusted=STRANGERS)
        write(tmp_path, server_pair(STRANGERS), None)
        after = await check(address, None, trusted=STRANGERS), await check(address, None)
        still = Answer.of(await old.unary_unary(CHECK)(MAY, timeout=TIMEOUT)).outcome

    assert (first, before, after, still) == (ALLOWED, REFUSED, (ALLOWED, REFUSED), ALLOWED)


async def test_a_new_authority_for_clients(tmp_path: Path) -> None:
    """Who was signed by the old one alone cannot connect any more."""
    old, new = peer(CLIENTS, dns(PEER)), peer(STRANGERS, dns(PEER))
    write(tmp_path, server_pair(OURS), CLIENTS)
    async with secured(files(tmp_path), PEER) as address:
        before = await check(address, old), await check(address, new)
        write(tmp_path, server_pair(OURS), STRANGERS)
        after = await check(address, old), await check(address, new)

    assert (before, after) == ((ALLOWED, REFUSED), (REFUSED, ALLOWED))


async def test_files_are_looked_at_only_so_often(tmp_path: Path) -> None:
    """Connections do not make us read the disk each time."""
    write(tmp_path, server_pair(OURS), None)
    async with secured(files(tmp_path, mutual=False, reload_seconds=3600)) as address:
        write(tmp_path, server_pair(STRANGERS), None)

        assert await check(address, None) == ALLOWED


@pytest.mark.parametrize("spoil", ["certificate-gone", "key-gone", "clients-gone", "garbage", "empty", "other-key"])
async def test_unreadable_files_change_nothing(spoil: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A replacement that failed or is half done must not cut off everybody; a good one then is taken."""
    client = peer(CLIENTS, dns(PEER))
    write(tmp_path, server_pair(OURS), CLIENTS)
    async with secured(files(tmp_path), PEER) as address:
        before = await check(address, client)
        match spoil:
            case "certificate-gone":
                (tmp_path / "server.pem").unlink()
            case "key-gone":
                (tmp_path / "server.key").unlink()
            case "clients-gone":
                (tmp_path / "clients.pem").unlink()
            case "garbage":
                (tmp_path / "server.pem").write_text("no certificate")
            case "empty":
                (tmp_path / "server.key").write_text("")
            case _:
                (tmp_path / "server.key").write_bytes(server_pair(OURS).key)
        spoiled = await check(address, client), await check(address, client)
        write(tmp_path, server_pair(STRANGERS), CLIENTS)
        repaired = await check(address, client, trusted=STRANGERS)

    assert (before, spoiled, repaired) == (ALLOWED, (ALLOWED, ALLOWED), ALLOWED)
    said = {record.getMessage() for record in caplog.records if record.name == tls.__name__}
    assert said == (
        {"the TLS files cannot be read; the previous ones stay in use"} if spoil.endswith("gone") else set()
    )


@pytest.mark.parametrize("missing", ["server.pem", "server.key", "clients.pem"])
def test_a_missing_file_ends_the_start(missing: str, tmp_path: Path) -> None:
    """One line names the file and why."""
    write(tmp_path, server_pair(OURS), CLIENTS)
    (tmp_path / missing).unlink()
    with pytest.raises(StartupError, match=re.escape(f"{tmp_path / missing}: No such file or directory")):
        server_credentials(files(tmp_path))


@pytest.mark.parametrize("broken", ["server.pem", "server.key", "clients.pem"])
async def test_a_file_that_is_none_ends_the_start(broken: str, tmp_path: Path) -> None:
    """A listener whose files cannot work never opens."""
    write(tmp_path, server_pair(OURS), CLIENTS)
    (tmp_path / broken).write_text("no PEM at all")
    with pytest.raises(StartupError):
        standard.bind(standard.new_server(options.DATA), "127.0.0.1:0", server_credentials(files(tmp_path)))
