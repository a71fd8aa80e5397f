"""Section B: headers that try to be what they are not."""

from __future__ import annotations

import http.client

import pytest

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckResponse
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.conformance.inputs.callers import BAD_REQUEST, INVALID_KEY, SCOPE, UNAUTHORIZED, Caller
from tests.support.checks import checked
from tests.support.stack import TIMEOUT

pytestmark = pytest.mark.databases("sqlite")

ENVOY_REFUSES = 400


def test_b1_two_credentials_in_one(caller: Caller) -> None:
    """Envoy joins repeated headers with a comma, which no key contains: two good keys are none."""
    key = caller.presented(caller.key())
    for headers in ([key, caller.presented(caller.key())], [key, key], [key, caller.presented("bad")]):
        caller.refused(caller.send(headers), UNAUTHORIZED)


def test_b2_raw_headers(caller: Caller) -> None:
    """Where Envoy sends headers one by one, one credential is read and two are refused, whatever their case."""
    name, value = caller.presented(caller.key())
    doubles = ([(name, value), (name, value)], [(name, value), (name.title(), value)], [(name, value), (name, "")])
    good = caller.check([(name, value)], raw=True)

    assert (good.status, good.removed) == (200, (caller.header,))
    assert caller.check([(name.upper(), value)], raw=True).status == 200
    for headers in doubles:
        caller.refused(caller.check(headers, raw=True), UNAUTHORIZED)


def test_b4_names_that_are_nearly_the_header(caller: Caller) -> None:
    """No spelling of the name is the name; those with underscores and blanks do not pass Envoy at all."""
    value = caller.presented(caller.key())[1]
    header = caller.header
    dotted = [f"{header}.", f".{header}", header.replace("-", ".") + ".", f"x-{header}", f"{header}s", header[:-1]]
    broken = [f"{header} ", header.replace("-", "_") + "_", f"{header}\0", f"{header}:"]

    for name in dotted:
        caller.refused(caller.send([(name, value)]), UNAUTHORIZED)
    for name in (*dotted, *broken):
        caller.refused(caller.check([(name, value)]), UNAUTHORIZED)
        caller.refused(caller.check([(name, value)], raw=True), UNAUTHORIZED)
    kelvin = caller.check([(header.replace("k", "\u212a"), value)], raw=True)

    assert kelvin.status == (200 if caller.bearer else 401)  # `authorization` has no k
    assert caller.send([("X_API_Key", value)]).status == ENVOY_REFUSES


def test_b6_identity_headers_of_a_client(caller: Caller) -> None:
    """Each is overwritten, unused names of the family are removed, and a refusal shows none of them."""
    forged = [(name, "forged") for name in (*IDENTITY_HEADERS, "x-authsvc-admin", "X-Authsvc-Whatever")]
    allowed = caller.send([caller.presented(caller.key()), *forged])
    denied = caller.send(forged)

    assert allowed.status == 200
    assert "forged" not in str(allowed.received)
    assert set(IDENTITY_HEADERS) == {name for name in allowed.received if name.startswith("x-authsvc-")}
    assert "forged" not in f"{denied.headers} {denied.body!r}"
    caller.refused(denied, UNAUTHORIZED)


def test_b7_twins_of_identity_headers(caller: Caller) -> None:
    """Envoy refuses underscores; where it does not, twins that a server may take for ours are removed."""
    key = caller.presented(caller.key())
    twins = ("x_authsvc_organization", "x-authsvc_scopes", "x.authsvc.kind", "x_authsvc-admin")
    answer = caller.check([key, *((name, "forged") for name in twins)])

    assert caller.send([key, ("x_authsvc_organization", "forged")]).status == ENVOY_REFUSES
    assert caller.send([key, ("x_org_id", "forged")]).status == ENVOY_REFUSES
    assert answer.status == 200
    assert set(answer.removed) == {caller.header, *twins}


@pytest.mark.parametrize(
    "name",
    [
        "x-envoy-original-path",
        "x-envoy-original-host",
        "x-forwarded-uri",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
    ],
)
def test_b9_headers_that_claim_another_path(caller: Caller, name: str) -> None:
    """The path is the request's own: neither a public nor an allowed one can be claimed."""
    key, (method, path, _) = caller.presented(caller.key()), caller.good.other
    for claimed in ("/health", "/", caller.good.path):
        caller.refused(caller.send([(name, claimed)]), UNAUTHORIZED)
        caller.refused(caller.send([key, (name, claimed)], method=method, path=path), SCOPE)


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override", "x-original-method"])
def test_b10_headers_that_claim_another_method(caller: Caller, name: str) -> None:
    """The method is the request's own."""
    method, path, _ = caller.good.other
    key = caller.presented(caller.key())

    caller.refused(caller.send([key, (name, "GET"), (name, "OPTIONS")], method=method, path=path), SCOPE)


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nx-authsvc-organization: b", "a\0b", "\n"])
@pytest.mark.parametrize("name", ["x-anything", "origin", "user-agent", "x-authsvc-organization"])
def test_b11_line_breaks_and_nul(caller: Caller, name: str, value: str) -> None:
    """Envoy does not pass them on; were one to come, the request is malformed, with a key and without."""
    caller.refused(caller.check([(name, value)]), BAD_REQUEST)
    caller.refused(caller.check([caller.presented(caller.key()), (name, value)]), BAD_REQUEST)


@pytest.mark.parametrize("raw", [b"a\r\nb: c", b"a\nb: c", b"a\0b"], ids=["B11-folded", "B11-newline", "B11-nul"])
def test_b11_through_envoy(caller: Caller, raw: bytes) -> None:
    """What Envoy takes for one header or two is never a way past it."""
    host, _, port = caller.product.stack.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
    environment = caller.product.facts.hosts[caller.product.default_environment]
    request = f"{caller.good.method} {caller.good.path} HTTP/1.1\r\nhost: {environment}\r\nx-anything: ".encode()
    connection.connect()
    connection.sock.sendall(request + raw + b"\r\nconnection: close\r\n\r\n")
    first = connection.sock.recv(65_536)
    connection.close()

    assert first.split(b" ")[1] in {b"400", b"401"}


def test_b12_bytes_that_are_no_text(caller: Caller) -> None:
    """Envoy writes `!` for them; sent raw, or in any field of the question, they are a malformed request."""
    name, value = caller.presented(caller.key())
    replaced = caller.check([(name, value[:-1] + "!")])
    for headers in ([(name, value), ("x-anything", b"\xff\xfe")], [(name, value.encode() + b"\xff")]):
        answer = caller.check(headers, raw=True)
        assert (answer.status, answer.code, answer.metadata["reason"]) == (400, 3, BAD_REQUEST)

    caller.refused(replaced, INVALID_KEY)


@pytest.mark.parametrize("field", ["method", "path", "host", "api"])
def test_b12_bytes_that_are_no_text_in_a_field(caller: Caller, field: str) -> None:
    """The parser of the message refuses them; the answer is a denial, not a failed call."""
    marked = {"method": "MARK"} if field == "method" else {"path": "/MARK"} if field == "path" else {}
    request = caller.question([caller.presented(caller.key())], **(marked or {"host": "MARK"}))
    if field == "api":
        request.attributes.context_extensions["api"] = "MARK"
        request.attributes.request.http.host = "x"
    broken = request.SerializeToString().replace(b"MARK", b"M\xff\xfeK")
    call = caller.product.stack.channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
    answer = checked(CheckResponse.FromString(call(broken, timeout=TIMEOUT)))

    assert (answer.status, answer.code, answer.metadata["reason"]) == (400, 3, BAD_REQUEST)


@pytest.mark.parametrize("agent", ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Envoy/HC", "Consul"])
def test_b14_health_checkers(caller: Caller, agent: str) -> None:
    """No name of a client opens anything."""
    caller.refused(caller.send([("user-agent", agent)]), UNAUTHORIZED)


def test_b15_the_upstream_never_sees_the_key(caller: Caller) -> None:
    """Its header is removed on every allow, public ones included, and no other header is."""
    key = caller.key()
    answer = caller.send([caller.presented(key), ("x-trace", "7"), ("accept", "*/*")])

    assert answer.status == 200
    assert caller.header not in answer.received
    assert key not in answer.body.decode()
    assert (answer.received["x-trace"], answer.received["accept"]) == ("7", "*/*")
