"""What a client learns of a refusal by `Check`: what a browser may read, and nothing of dead keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authsvc.domain.api import DEFAULT_ERRORS, Api, RateHeaders
from authsvc.domain.origins import parse_pattern
from authsvc.domain.reasons import Reason
from tests.support import builders
from tests.support.builders import MINUTE, NOW, SECRET, record
from tests.support.doors import BROWSER, INVALID_KEY, KEY, ROUTED, Answer, door, new_key

PUBLIC_KEY = new_key(seed=2)
OURS = parse_pattern("https://app.example")
assert OURS is not None
BROWSER_KEYS = {
    KEY: record(),
    PUBLIC_KEY: record(
        id="key_01J00000000000000000000002", kind="publishable", scopes=("things:create",), origins=(OURS,)
    ),
}
CORS = {"access-control-allow-origin", "access-control-expose-headers", "vary"}


@pytest.mark.parametrize(
    ("origin", "readable"),
    [
        pytest.param("https://evil.example", True, id="other-origin"),
        pytest.param("https://app.example", True, id="listed-origin"),
        pytest.param("http://localhost:3000", True, id="with-port"),
        pytest.param("null", False, id="null"),
        pytest.param("*", False, id="star"),
        pytest.param("https://a.example,https://b.example", False, id="two"),
        pytest.param("https://app.example/", False, id="path"),
        pytest.param("https://app.example.", False, id="trailing-dot"),
        pytest.param("https://user@app.example", False, id="user"),
        pytest.param("https://app.example:99999", False, id="port-out-of-range"),
        pytest.param("javascript:alert(1)", False, id="other-scheme"),
        pytest.param("https://" + "a" * 300, False, id="overlong"),
        pytest.param("https://\u212aelvin.example", False, id="not-ascii"),
        pytest.param("", False, id="empty"),
    ],
)
async def test_a_browser_may_read_refusals_of_its_kind(origin: str, *, readable: bool) -> None:
    """A publishable key's refusal names the origin that asked, as long as it is one."""
    answer = await door(BROWSER_KEYS, BROWSER).ask(key=PUBLIC_KEY, headers={"origin": origin})
    cors = {name: value for name, value in answer.headers.items() if name in CORS}

    assert answer.status == 403
    assert (CORS if readable else set()) == set(cors)
    assert (origin if readable else None) == cors.get("access-control-allow-origin")


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        pytest.param({"standard": True, "legacy": False}, ["ratelimit", "ratelimit-policy"], id="standard"),
        pytest.param(
            {"standard": False, "legacy": True},
            ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
            id="legacy",
        ),
        pytest.param({"standard": False, "legacy": False}, [], id="none"),
    ],
)
async def test_a_browser_may_read_the_headers_of_a_refusal(wanted: dict[str, bool], named: list[str]) -> None:
    """When to come back, what the limits say, and what the API itself adds."""
    template = replace(DEFAULT_ERRORS[Reason.KIND_NOT_ALLOWED], headers=(("x-docs", "https://docs.example"),))
    of = replace(BROWSER, rate_headers=RateHeaders(**wanted), errors={Reason.KIND_NOT_ALLOWED: template})

    answer = await door(BROWSER_KEYS, of).ask(key=PUBLIC_KEY, headers={"origin": "https://evil.example"})

    always = ["x-authsvc-decision-id", "retry-after", "www-authenticate"]
    assert [*always, *named, "x-docs"] == answer.headers["access-control-expose-headers"].split(", ")


async def test_a_browser_may_not_read_refusals_of_secret_keys() -> None:
    """Where the kind is known and not for browsers, there is no CORS."""
    answer = await door(BROWSER_KEYS, BROWSER).ask(method="DELETE", key=KEY, headers={"origin": "https://app.example"})

    assert answer.reason == "insufficient_scope"
    assert not CORS & set(answer.headers)


@pytest.mark.parametrize(
    ("of", "readable"),
    [
        pytest.param(BROWSER, True, id="browser-kinds"),
        pytest.param(replace(ROUTED, kinds={"secret": SECRET}), False, id="secret-only"),
    ],
)
async def test_cors_of_an_unknown_key_depends_on_the_api(of: Api, *, readable: bool) -> None:
    """Without a bearer it is readable where the API has any kind for browsers."""
    answer = await door({}, of).ask(key=KEY, headers={"origin": "https://app.example"})

    assert answer.outcome == INVALID_KEY
    assert readable is bool(CORS & set(answer.headers))


DEAD = {
    "revoked": record(revoked_at=NOW - 1),
    "deleted": record(deleted_at=NOW - 1),
    "expired": record(expires_at=NOW),
    "not-yet-valid": record(not_before=NOW + 1),
    "grace-over": record(grace_ends_at=NOW),
    "dead-and-suspended": record(revoked_at=NOW - 1, organization_active=False),
    "other-api": record(api="other"),
    "kind-for-browsers": record(kind="publishable", revoked_at=NOW - 1),
    "with-everything": record(
        revoked_at=NOW - MINUTE, networks=(), origins=(), limits=(builders.limit(),), environment="test", plan="pro"
    ),
}


@pytest.mark.parametrize("of", [pytest.param(of, id=name) for name, of in DEAD.items()])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="plain"),
        pytest.param({"origin": "https://app.example"}, id="browser"),
        pytest.param({"content-type": "application/grpc"}, id="grpc"),
    ],
)
async def test_dead_keys_look_like_unknown_ones(of: builders.KeyRecord, headers: dict[str, str]) -> None:
    """What the client gets for a key that is dead is, but for the id, byte for byte what an unknown one gets."""
    other = replace(BROWSER, name="other", hosts=frozenset())
    built = door({KEY: of}, BROWSER, other)
    dead = await built.ask(key=KEY, headers=headers)
    unknown = await built.ask(key=new_key(seed=99), headers=headers)

    assert dead.outcome == INVALID_KEY
    assert told(unknown) == told(dead)


def told(answer: Answer) -> bytes:
    """Return all the client gets, with the decision's id made the same."""
    raw: bytes = answer.message.denied_response.SerializeToString()
    return raw.replace(answer.metadata["decision_id"].encode(), b"0" * 24)
