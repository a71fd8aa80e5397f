"""Section A: how a credential is read, and what is none."""

from __future__ import annotations

import base64
import json

import pytest

from tests.conformance.inputs.callers import GOOD, INVALID_KEY, UNAUTHORIZED, Caller
from tests.conformance.inputs.local import local_door, local_key, place

pytestmark = pytest.mark.databases("sqlite")

# What is said about a value in the header that carries the key, as a bearer token and as the bare header.
ALLOWED = "allowed"
VALUES = [
    pytest.param("", UNAUTHORIZED, UNAUTHORIZED, id="A2-empty"),
    pytest.param("   ", UNAUTHORIZED, UNAUTHORIZED, id="A2-blanks"),
    pytest.param("Bearer", UNAUTHORIZED, INVALID_KEY, id="A3-scheme"),
    pytest.param("bearer {key}", ALLOWED, UNAUTHORIZED, id="A4-lower-case"),
    pytest.param("BEARER {key}", ALLOWED, UNAUTHORIZED, id="A4-upper-case"),
    pytest.param("Bearer  {key}", UNAUTHORIZED, UNAUTHORIZED, id="A5-two-blanks"),
    pytest.param("Bearer\t{key}", UNAUTHORIZED, UNAUTHORIZED, id="A5-tab"),
    pytest.param("Basic {basic}", UNAUTHORIZED, UNAUTHORIZED, id="A8-basic"),
    pytest.param("Token {key}", UNAUTHORIZED, UNAUTHORIZED, id="A8-token"),
    pytest.param("ApiKey {key}", UNAUTHORIZED, UNAUTHORIZED, id="A8-apikey"),
    pytest.param("Bearer:{key}", UNAUTHORIZED, INVALID_KEY, id="A8-colon"),
    pytest.param("{key}", UNAUTHORIZED, ALLOWED, id="A9-no-scheme"),
    pytest.param("Bearer {key} extra", UNAUTHORIZED, UNAUTHORIZED, id="A10-extra"),
    pytest.param("{key} extra", UNAUTHORIZED, UNAUTHORIZED, id="A10-extra-bare"),
    pytest.param("Bearer {key}, Bearer {other}", UNAUTHORIZED, UNAUTHORIZED, id="A10-two"),
    pytest.param("{key},{other}", UNAUTHORIZED, UNAUTHORIZED, id="A10-two-bare"),
    pytest.param('Bearer "{key}"', UNAUTHORIZED, UNAUTHORIZED, id="A14-quoted"),
    pytest.param('"{key}"', UNAUTHORIZED, UNAUTHORIZED, id="A14-quoted-bare"),
    pytest.param("Bearer {escaped}", UNAUTHORIZED, UNAUTHORIZED, id="A14-escaped"),
    pytest.param("{escaped}", UNAUTHORIZED, UNAUTHORIZED, id="A14-escaped-bare"),
]
# What HTTP itself does not carry, so that only a proxy gone wrong could send it.
UNSENDABLE = [
    pytest.param("Bearer ", id="A3-trailing-blank"),
    pytest.param("Bearer {key} ", id="A5-trailing-blank"),
    pytest.param("{key} ", id="A5-trailing-blank-bare"),
    pytest.param(" {key}", id="A5-leading-blank-bare"),
    pytest.param("Bearer {key}\n", id="A12-newline"),
    pytest.param("{key}\n", id="A12-newline-bare"),
    pytest.param("Bearer {key}\r\n", id="A12-line-break"),
    pytest.param("{key}\0", id="A12-nul"),
    pytest.param("\n{key}", id="A12-newline-before"),
]


def filled(value: str, caller: Caller) -> str:
    """Put keys of the caller's product into a value."""
    key, other = caller.key(), caller.key()
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    return value.format(key=key, other=other, basic=basic, escaped=f"%{ord(key[0]):02X}{key[1:]}")


def test_a1_no_credential(caller: Caller) -> None:
    """Neither header: 401 with the product's challenge."""
    caller.refused(caller.send(), UNAUTHORIZED)
    caller.refused(caller.check(), UNAUTHORIZED)


@pytest.mark.parametrize(("value", "bearer", "bare"), VALUES)
def test_values_of_the_header(caller: Caller, value: str, bearer: str, bare: str) -> None:
    """A bearer token is a scheme in any case, one blank and the key; a bare header is the key and nothing else."""
    expected = bearer if caller.bearer else bare
    headers = [(caller.header, filled(value, caller))]
    for answer in (caller.send(headers), caller.check([(name, text.strip(" ")) for name, text in headers])):
        if expected == ALLOWED:
            assert answer.status == 200
        else:
            caller.refused(answer, expected)


@pytest.mark.parametrize("value", UNSENDABLE)
def test_values_that_http_does_not_carry(caller: Caller, value: str) -> None:
    """They would be no key either."""
    caller.refused(caller.check([(caller.header, filled(value, caller))]), UNAUTHORIZED)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("?api_key={key}&access_token={key}&key={key}", {}, id="A11-query"),
        pytest.param("", {"cookie": "api_key={key}; authorization=Bearer {key}"}, id="A11-cookie"),
        pytest.param("", {"proxy-authorization": "Bearer {key}", "x-auth-token": "{key}"}, id="A11-other-headers"),
        pytest.param("", {"referer": "https://u:{key}@app.example/"}, id="A11-referer"),
    ],
)
def test_a_key_elsewhere_is_ignored(caller: Caller, path: str, headers: dict[str, str]) -> None:
    """What is not in the configured header is no credential."""
    key = caller.key()
    moved = [(name, value.format(key=key)) for name, value in headers.items()]

    caller.refused(caller.send(moved, path=caller.good.path + path.format(key=key)), UNAUTHORIZED)


def test_a11_a_key_in_the_body_or_the_host_is_ignored(caller: Caller) -> None:
    """Bodies are not looked at, and user information in a host is none."""
    key, good = caller.key(), caller.good
    answer = caller.product.send(*good.other[:2], body=json.dumps({"api_key": key}).encode())

    caller.refused(answer, UNAUTHORIZED)
    caller.refused(
        caller.check(host=f"{key}@{caller.product.facts.hosts[caller.product.default_environment]}"), UNAUTHORIZED
    )


def test_a15_with_one_source_the_other_header_passes_on(caller: Caller) -> None:
    """It is no credential here: it neither helps nor hurts, and the product gets it."""
    other = ("x-api-key", "theirs") if caller.bearer else ("authorization", "Bearer theirs")
    answer = caller.send([caller.presented(caller.key()), other])
    alone = caller.send([other])

    assert answer.status == 200
    assert answer.received[other[0]] == other[1]
    assert caller.header not in answer.received
    caller.refused(alone, UNAUTHORIZED)


@pytest.mark.parametrize("name", GOOD)
async def test_a15_with_two_sources_two_keys_are_ambiguous(name: str) -> None:
    """Either header alone is good; both together, even with one key, are refused."""
    asked = local_door(name, credential=[{"bearer": True}, {"header": "x-api-key"}])
    key, extensions, good = local_key(name), place(name), GOOD[name]
    bearer, bare, junk = ("authorization", f"Bearer {key}"), ("x-api-key", key), ("x-api-key", "")
    answers = [
        await asked.ask(method=good.method, path=good.path, headers=headers, extensions=extensions)
        for headers in ([bearer], [bare], [bearer, bare], [bearer, junk])
    ]

    assert [answer.allowed for answer in answers] == [True, True, False, False]
    assert {answer.reason for answer in answers[2:]} == {UNAUTHORIZED}
    assert set(answers[0].removed) == {"authorization", "x-api-key"}
