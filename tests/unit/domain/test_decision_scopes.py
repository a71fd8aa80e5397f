"""Decisions about kinds and scopes, and what authenticating leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.decision import (
    Allow,
    Deny,
    Purpose,
    effective_scopes,
)
from authsvc.domain.reasons import Reason
from tests.support.builders import (
    api,
    record,
    route,
)
from tests.unit.domain.decided import BROKEN, BROWSER, CREATE, Broken, decided, reason_of


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="what-it-is-for"),
        pytest.param({"required": ("things:read",)}, Reason.KIND_NOT_ALLOWED, id="beyond-its-ceiling"),
        pytest.param({"required": ("things:create", "things:read")}, Reason.KIND_NOT_ALLOWED, id="partly-beyond"),
        pytest.param({"required": ()}, Reason.KIND_NOT_ALLOWED, id="nothing-required"),
        pytest.param({"route": route(kinds=frozenset({"publishable"}))}, None, id="admitted-by-name"),
        pytest.param(
            {"route": route(kinds=frozenset({"publishable"})), "required": ()},
            None,
            id="admitted-where-nothing-required",
        ),
        pytest.param(
            {"route": route(kinds=frozenset({"publishable"})), "required": ("things:read",)},
            Reason.INSUFFICIENT_SCOPE,
            id="admitted-by-name-without-the-scope",
        ),
    ],
)
def test_a_bounded_kind(changes: dict[str, Any], reason: Reason | None) -> None:
    """It comes in by something it may hold, or by its name."""
    browser = Broken(
        Reason.KIND_NOT_ALLOWED, record=BROWSER, attempt=CREATE | {"origin": "http://localhost:3000"} | changes
    )

    assert reason == reason_of(decided(browser))


@pytest.mark.parametrize(
    ("grants", "full_access", "kind_name", "expected"),
    [
        pytest.param(("a:r",), False, "secret", frozenset({"a:r"}), id="granted"),
        pytest.param((), False, "secret", frozenset(), id="nothing-granted"),
        pytest.param((), True, "secret", None, id="full-access"),
        pytest.param(("a:r",), True, "secret", None, id="full-access-with-scopes"),
        pytest.param(("a:r", "things:create"), False, "publishable", frozenset({"things:create"}), id="in-the-ceiling"),
        pytest.param(("keys:write",), False, "publishable", frozenset(), id="beyond-the-ceiling"),
        pytest.param((), True, "publishable", frozenset({"things:create"}), id="full-access-within-the-ceiling"),
        pytest.param(("a:r",), True, "nope", frozenset(), id="unknown-kind"),
    ],
)
def test_effective_scopes(
    grants: tuple[str, ...], kind_name: str, expected: frozenset[str] | None, *, full_access: bool
) -> None:
    """The kind bounds its keys, whatever was written into the database."""
    held = effective_scopes(record(scopes=grants, full_access=full_access, kind=kind_name), api())

    assert expected == held


def test_the_first_missing_scope_is_named() -> None:
    """In declared order."""
    asked = {"required": ("things:read", "things:write", "things:create")}
    denied = decided(Broken(Reason.INSUFFICIENT_SCOPE, attempt=asked))

    assert Deny(reason=Reason.INSUFFICIENT_SCOPE, detail="lacks things:write", required_scope="things:write") == denied


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"record": {"scopes": ()}}, id="no-scope-asked"),
        pytest.param({"record": BROWSER, "attempt": {"origin": "http://localhost:3000"}}, id="bounded-kind"),
    ],
)
def test_authenticating_asks_for_no_scope(changes: dict[str, Any]) -> None:
    """Who is this, not what may they do; a kind's ceiling bounds what it does."""
    asked = {"purpose": Purpose.AUTHENTICATE, "route": None, "required": ()}
    broken = Broken(Reason.UNAVAILABLE, record=changes["record"], attempt=asked | changes.get("attempt", {}))

    assert Allow() == decided(broken)


@pytest.mark.parametrize("rule", ["key_status", "organization", "resource", "environment", "origin", "ip", "rate"])
def test_authenticating_skips_nothing_else(rule: str) -> None:
    """A key that is refused is nobody."""
    asking = Broken(Reason.UNAVAILABLE, attempt={"purpose": Purpose.AUTHENTICATE, "route": None, "required": ()})

    assert BROKEN[rule].reason == reason_of(decided(asking, BROKEN[rule]))
