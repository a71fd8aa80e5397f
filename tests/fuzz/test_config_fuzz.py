"""
Whatever a configuration file holds: it is refused in words, or what it says works.

The file is a good one with a few hostile changes, as data or as bytes. There is no third outcome: no
exception but `ConfigError`, no API whose refusals cannot be rendered, no request that breaks on it.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from authsvc.config import Config, ConfigError, read
from authsvc.config.problems import MAX_TOLD
from authsvc.domain.api import Api
from authsvc.domain.decision import Deny
from authsvc.domain.dialect import is_json
from authsvc.domain.question import ToldRequest, from_http
from authsvc.domain.reasons import Reason
from authsvc.servicers import envoy_wire
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckResponse
from tests.support.builders import verdict

FILE = Path("fuzz.yaml")
GOOD: dict[str, Any] = {
    "apis": {
        "shop": {
            "hosts": ["shop.example"],
            "credential": [{"bearer": True}, {"header": "x-api-key"}],
            "challenge": 'Bearer realm="shop"',
            "kinds": {
                "secret": {"default": True, "scopes": "all", "origins": "optional"},
                "page": {
                    "scopes": ["a:read"],
                    "origins": "required",
                    "cors": True,
                    "limits": {"per_key": {"rate": "3/minute", "algorithm": "sliding_window"}},
                    "expiry_required": True,
                    "max_lifetime": "30d",
                },
            },
            "environments": {"live": {"hosts": ["live.example"]}, "test": {}},
            "keys": {
                "classes": [
                    {"prefix": "s_", "kind": "secret", "environment": "live"},
                    {"prefix": "p_", "kind": "page", "environment": "test", "alphabet": "upper", "length": 32},
                    {
                        "prefix": "",
                        "kind": "secret",
                        "environment": "live",
                        "alphabet": "visible",
                        "length": [20, 64],
                        "checksum": "none",
                    },
                ],
                "rotation": {"grace": "15m", "max_grace": "1d"},
            },
            "scopes": {"a:read": {"description": "Read", "default": True}, "a:write": {}},
            "presets": {"reader": ["a:read"]},
            "empty_scopes": "none",
            "routes": [
                {"method": ["GET", "HEAD"], "path": "/health", "public": True},
                {"method": "GET", "path": "/a/{id}", "scopes": ["a:read"], "environment": "test", "preflight": "allow"},
                {"method": "ANY", "path": "/b/**", "scopes": ["a:read", "a:write"], "kinds": ["secret"]},
            ],
            "limits": {"per_key": ["9/second", "90/minute"], "per_organization": {"rate": "500/hour", "burst": 7}},
            "plans": {"free": {"per_key": "60/minute"}, "pro": {}},
            "default_plan": "free",
            "rate_limit_headers": {"legacy": True},
            "errors": {
                "default": {"headers": {"x-docs": "here"}, "body": '{"code":"{{reason}}","id":"{{decision_id}}"}'},
                "rate_limited": {"status": 420, "body": '{"wait":{{retry_after}}}'},
                "unavailable": {"content_type": "text/plain", "body": "{{message}}"},
            },
            "client_address": {"header": "x-forwarded-for", "trusted_hops": 2},
        }
    },
    "cache": {"max_staleness": "60s", "keys": 1000},
}

WORDS = [
    "a:read",
    "secret",
    "live",
    "ANY",
    "/a/{id}",
    "/b/**",
    "//",
    "/a/../b",
    "{{reason}}",
    "{{x}}",
    "{{",
    "{{\x1b}}",
    "all",
]
ODD = [
    "",
    " ",
    "\x00",
    "\n",
    "\ud800",
    "\u202e",
    "İ",
    "ﬀ",
    "é",
    "\U0001f511",
    "%00",
    "*",
    "~",
    "'",
    '"',
    "\\",
    "9" * 30,
]
TEXTS = st.sampled_from(WORDS + ODD) | st.text(max_size=40) | st.builds(str.__mul__, st.sampled_from(ODD), st.just(999))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
PATHS = [("/health", "GET"), ("/a/1", "GET"), ("/a/1", "OPTIONS"), ("/b/c/d", "PUT"), ("/", "GET"), ("/x%2f", "GET")]


def places(node: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to every entry."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, child in entries for place in ((*at, key), *places(child, (*at, key)))]


PLACES = places(GOOD)


def change(data: Any, place: tuple[str | int, ...], how: str, value: Any) -> None:
    """Change one entry, if it is still there."""
    for part in place[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return
    last = place[-1]
    if isinstance(data, list) and isinstance(last, int) and last < len(data):
        if how == "remove":
            del data[last]
        elif how == "twice":
            data.append(copy.deepcopy(data[last]))
        else:
            data[last] = value
    elif isinstance(data, dict) and last in data:
        if how == "remove":
            del data[last]
        elif how == "twice":
            data[str(value)[:40]] = copy.deepcopy(data[last])
        else:
            data[last] = value


def judge(raw: bytes) -> Config | None:
    """Load a file; what is accepted must work, and a refusal must be words."""
    try:
        config = read(raw, FILE)
    except ConfigError as error:
        lines = str(error).splitlines()
        assert 0 < len(lines) <= MAX_TOLD + 1
        assert all(line.startswith("fuzz.yaml:") for line in lines)
        assert all(line.isprintable() for line in lines)
        return None
    for api in config.apis.by_name.values():
        works(api)
        for path, method in PATHS:
            for host in ("shop.example", "live.example", ""):
                headers = {"authorization": "Bearer s_1", "origin": "https://a.example"}
                request = ToldRequest(
                    method=method, target=path, host=host, headers=headers, told="::1", extensions={"api": api.name}
                )
                from_http(config.apis, request)
    return config


def works(api: Api) -> None:
    """Render every refusal, as Envoy and a client would read it."""
    for reason in Reason:
        verdicts = (verdict(allowed=False, retry_ns=1),) if reason is Reason.RATE_LIMITED else ()
        scope = "a:read" if reason is Reason.INSUFFICIENT_SCOPE else None
        refusal = Deny(reason=reason, detail="", required_scope=scope, verdicts=verdicts)
        answer = envoy_wire.deny(api, refusal, None, "0" * 24, origin="https://a.example", grpc=True)
        told = CheckResponse.FromString(answer).denied_response
        headers = {option.header.key: option.header.value for option in told.headers}
        assert 400 <= told.status.code <= 599
        assert headers["grpc-status"] != "0"
        assert headers["cache-control"] == "no-store"
        if is_json(headers["content-type"]):
            json.loads(told.body)


def test_the_file_is_good() -> None:
    """Else nothing here would be about anything."""
    assert judge(json.dumps(GOOD).encode()) is not None


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "remove", "twice"]), VALUES), max_size=4))
def test_changed_data_is_refused_in_words_or_works(changes: list[tuple[tuple[str | int, ...], str, Any]]) -> None:
    """Entries taken out, doubled, and replaced by whatever JSON can say."""
    data = copy.deepcopy(GOOD)
    for place, how, value in changes:
        change(data, place, how, value)

    judge(json.dumps(data).encode())


SIGNS = [
    b":",
    b"- ",
    b"\n",
    b"? ",
    b"&a ",
    b"*a ",
    b"!!x ",
    b"!%1B ",
    b"|\n",
    b">",
    b"{",
    b"}",
    b"[",
    b"]",
    b"%",
    b"\x00",
    b"\xff",
]
TEXT = json.dumps(GOOD, indent=1).encode()


@given(
    st.lists(
        st.tuples(st.integers(0, len(TEXT)), st.integers(0, 40), st.sampled_from(SIGNS) | st.binary(max_size=8)),
        min_size=1,
        max_size=3,
    )
)
def test_changed_bytes_are_refused_in_words_or_work(changes: list[tuple[int, int, bytes]]) -> None:
    """Bytes put in the place of others, anywhere."""
    raw = TEXT
    for at, length, put in changes:
        raw = raw[:at] + put + raw[at + length :]

    judge(raw)
