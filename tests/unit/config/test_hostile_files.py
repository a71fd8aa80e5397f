"""Files that nobody would write by mistake: refused in words, in bounded time, and never with a traceback."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from authsvc.config import ConfigError, read
from authsvc.config.problems import MAX_TOLD
from tests.unit.config.test_broken_files import GOOD

SECONDS = 60  # what takes the square of its size would take far longer, on any machine
MANY = 30_000


def refusal(text: str | bytes) -> ConfigError:
    """Return what a file is refused with."""
    with pytest.raises(ConfigError) as refused:
        read(text.encode() if isinstance(text, str) else text, Path("x.yaml"))
    return refused.value


def routes(scopes: str, count: int) -> str:
    """Return that many further routes."""
    return "".join(f"      - {{method: GET, path: /r{number}, scopes: [{scopes}]}}\n" for number in range(count))


LARGE = [
    pytest.param("apis:\n" + "".join(f"  a{n}:\n" for n in range(MANY)), "has no value", id="empty-values"),
    pytest.param("apis:\n" + "  a: 1\n" * MANY, "the key is here twice", id="one-key-many-times"),
    pytest.param(GOOD + "".join(f"    host{n}: 1\n" for n in range(MANY)), "unknown key 'host0'", id="unknown-keys"),
    pytest.param("apis:\n" + "".join(f"  a{n}: {{}}\n" for n in range(MANY)), "is required", id="many-apis"),
    pytest.param(
        GOOD.replace("    routes:\n", "".join(f"      orders{n}:read: {{}}\n" for n in range(500)) + "    routes:\n")
        + routes(",".join(f"order{n}:read" for n in range(20)), 1_000),
        "unknown scope 'order0:read'; did you mean",
        id="unknown-scopes-among-many-alike",
    ),
    pytest.param(GOOD + routes("", 1) * 3_000, "is already routes[3]", id="one-route-many-times"),
    pytest.param(
        GOOD + f"    hosts: [{','.join(f'h{n}' for n in range(MANY))}]\n", "may have at most 64", id="many-hosts"
    ),
    pytest.param(
        GOOD + "    presets:\n" + "".join(f"      p{n}: [orders:read]\n" for n in range(MANY)),
        "apis.shop.presets: may have at most 64 entries",
        id="many-presets",
    ),
]


@pytest.mark.parametrize(("text", "told"), LARGE)
def test_a_file_full_of_mistakes_is_refused_in_time(text: str, told: str) -> None:
    """In time that grows with its size alone, with the first mistakes told and no flood of the rest."""
    began = time.monotonic()
    error = refusal(text)

    assert time.monotonic() - began < SECONDS
    assert told in str(error)
    assert len(error.problems) <= MAX_TOLD
    assert len(str(error).splitlines()) <= MAX_TOLD + 1


def test_it_is_told_that_there_is_more() -> None:
    """Whoever repairs a hundred mistakes is not surprised by the next."""
    text = str(refusal("apis:\n" + "".join(f"  a{number}:\n" for number in range(MAX_TOLD + 1))))

    assert text.splitlines()[-1] == f"x.yaml: and more; {MAX_TOLD} are told at once"


DEEP = "nested deeper than 24 levels"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("a: &a [x, x]\nb: [*a, *a]\n", "aliases (*) are not supported", id="aliases"),
        pytest.param("[" * 500_000, DEEP, id="deep-list"),
        pytest.param("{a: " * 100_000, DEEP, id="deep-mapping"),
        pytest.param("- " * 300_000, DEEP, id="deep-blocks"),
        pytest.param("? " * 300_000, DEEP, id="deep-keys"),
        pytest.param("\n".join(" " * n + "a:" for n in range(900)), DEEP, id="deep-indents"),
        pytest.param("---\n" * 100_000, "another document", id="many-documents"),
        pytest.param("#\n" * 500_000, "the file is empty", id="comments"),
        pytest.param(" " * 1024 * 1024, "the file is empty", id="blanks"),
        pytest.param("x" * (1024 * 1024 + 1), "larger than", id="too-large"),
        pytest.param("%YAML 9.9\n---\n" + GOOD, "incompatible YAML", id="other-yaml"),
        pytest.param(GOOD.encode("utf-16"), "not UTF-8", id="utf-16"),
        pytest.param(b"apis: \xed\xa0\x80\n", "not UTF-8", id="encoded-surrogate"),
        pytest.param(GOOD + '    challenge: "' + "\\x41" * 200_000 + '"\n', "challenge", id="a-long-text"),
        pytest.param('apis: {"\\uD800": 1}\n', "is not a name", id="surrogate-as-name"),
        pytest.param('apis: {"sh\\u0430p": 1}\n', "is not a name", id="look-alike-as-name"),
        pytest.param(GOOD + '    challenge: "a\\nb"\n', "challenge", id="line-break-in-a-header"),
    ],
)
def test_what_is_no_configuration_is_refused(text: str | bytes, told: str) -> None:
    """By the first thing that is wrong with it."""
    assert told in str(refusal(text))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        pytest.param("default: {body: '" + "[" * 4_000 + "]" * 4_000 + "'}", "is not JSON", id="deep-json"),
        pytest.param('default: {body: \'{"a":' + "1" * 8_000 + "}'}", "is not JSON", id="endless-number"),
        pytest.param('default: {content_type: text/plain, body: "\\uD800"}', "default.body", id="surrogate"),
        pytest.param("default: {body: '{{message}}'}", "is not JSON", id="text-without-quotes"),
        pytest.param("default: {body: '{\"a\": NaN}'}", "is not JSON", id="no-number"),
        pytest.param("default: {headers: {grpc-status: '0'}}", "is written by the service", id="success-for-grpc"),
        pytest.param("default: {headers: {cache-control: public}}", "is written by the service", id="kept-by-caches"),
        pytest.param("default: {headers: {x-ratelimit-limit: '9'}}", "is written by the service", id="another-limit"),
        pytest.param("default: {headers: {content-length: '0'}}", "cannot be used here", id="framing"),
        pytest.param("default: {headers: {x-authsvc-key-id: k}}", "cannot be used here", id="identity"),
    ],
)
def test_an_answer_that_would_break_is_refused(section: str, told: str) -> None:
    """Before anybody is answered with it."""
    assert told in str(refusal(f"{GOOD}    errors: {{{section}}}\n"))


def test_a_page_is_told_one_origin() -> None:
    """Two answers to the same question are none to a browser; without a kind for browsers the header is the API's."""
    errors = "    errors: {default: {headers: {access-control-allow-origin: '*'}}}\n"
    with_cors = GOOD.replace("origins: required", "origins: required, cors: true")

    assert "is written by the service where a kind has cors: true" in str(refusal(with_cors + errors))
    assert read((GOOD + errors).encode(), Path("x.yaml")).apis.by_name.keys() == {"shop"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("a: !%1B%5B31m x\n", r"the tag !\x1b[31m is not supported", id="tag"),
        pytest.param(
            GOOD + '    errors: {default: {body: "{{\\u202e}}"}}\n', r"unknown placeholder {{\u202e}}", id="placeholder"
        ),
        pytest.param('apis: {"\\e[2J": 1}\n', r"apis.'\x1b[2J'", id="name"),
    ],
)
def test_nothing_in_a_file_reaches_a_terminal(text: str, told: str) -> None:
    """Escapes and marks that turn the direction of text are written out."""
    lines = str(refusal(text)).splitlines()

    assert any(told in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_file_name_is_printable() -> None:
    """One that is not would be found out when the service opens it."""
    tls = 'listeners: {data: {tls: {mode: tls, certificate: "a\\0b", key: k}}}\n'

    assert "listeners.data.tls.certificate: 'a\\x00b' is not the name of a file" in str(refusal(GOOD + tls))
