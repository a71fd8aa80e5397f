"""Decisions about browsers' origins."""

from __future__ import annotations

import pytest

from authsvc.domain.api import OriginPolicy
from authsvc.domain.decision import (
    Allow,
    explain,
)
from authsvc.domain.reasons import Reason
from tests.support.builders import (
    api,
    attempt,
    bearer,
    kind,
    record,
)
from tests.unit.domain.decided import Broken, decided, patterns, reason_of


@pytest.mark.parametrize(
    ("policy", "listed", "origin", "reason"),
    [
        pytest.param("required", ("*.a.example",), "https://b.a.example", None, id="required-and-listed"),
        pytest.param("required", ("*.a.example",), "https://a.example", Reason.ORIGIN_NOT_ALLOWED, id="apex"),
        pytest.param("required", ("*.a.example",), None, Reason.ORIGIN_NOT_ALLOWED, id="required-no-origin"),
        pytest.param("required", ("*.a.example",), "", Reason.ORIGIN_NOT_ALLOWED, id="required-empty-origin"),
        pytest.param("required", ("*.a.example",), "null", Reason.ORIGIN_NOT_ALLOWED, id="required-null"),
        pytest.param("required", (), "https://b.a.example", Reason.ORIGIN_NOT_ALLOWED, id="required-empty-list"),
        pytest.param("required", None, "https://b.a.example", Reason.ORIGIN_NOT_ALLOWED, id="required-no-list"),
        pytest.param("required", None, None, Reason.ORIGIN_NOT_ALLOWED, id="required-no-list-no-origin"),
        pytest.param("optional", None, None, None, id="optional-no-list-no-origin"),
        pytest.param("optional", None, "https://evil.example", None, id="optional-no-list"),
        pytest.param("optional", None, "null", None, id="optional-no-list-null"),
        pytest.param("optional", (), None, Reason.ORIGIN_NOT_ALLOWED, id="optional-empty-list"),
        pytest.param("optional", ("*.a.example",), None, Reason.ORIGIN_NOT_ALLOWED, id="optional-list-no-origin"),
        pytest.param("optional", ("*.a.example",), "https://b.a.example", None, id="optional-listed"),
        pytest.param("forbidden", None, None, None, id="forbidden-no-origin"),
        pytest.param("forbidden", None, "https://a.example", Reason.ORIGIN_NOT_ALLOWED, id="forbidden-origin"),
        pytest.param("forbidden", None, "", Reason.ORIGIN_NOT_ALLOWED, id="forbidden-empty-origin"),
        pytest.param("forbidden", None, "null", Reason.ORIGIN_NOT_ALLOWED, id="forbidden-null"),
        pytest.param(
            "forbidden",
            ("*.a.example",),
            "https://b.a.example",
            Reason.ORIGIN_NOT_ALLOWED,
            id="forbidden-even-if-listed",
        ),
        pytest.param("forbidden", ("*.a.example",), None, Reason.ORIGIN_NOT_ALLOWED, id="forbidden-and-listed"),
    ],
)
def test_origins(policy: str, listed: tuple[str, ...] | None, origin: str | None, reason: Reason | None) -> None:
    """A list holds whoever has one; the kind says whether one is needed, or browsers are refused."""
    broken = Broken(
        Reason.ORIGIN_NOT_ALLOWED,
        api={"kinds": {"secret": kind(origins=OriginPolicy(policy))}},
        record={"origins": None if listed is None else patterns(*listed)},
        attempt={"origin": origin},
    )

    assert reason == reason_of(decided(broken))


def test_an_unknown_kind_needs_an_origin_too() -> None:
    """Rules do not rely on one another: each refuses what it does not know."""
    stranger, shop = record(kind="nope"), api()
    said = {v.rule: v.objection for v in explain(bearer(stranger, shop), attempt(api=shop))}

    assert reason_of(said["origin"] or Allow()) == Reason.ORIGIN_NOT_ALLOWED
    assert reason_of(said["scope"] or Allow()) == Reason.INSUFFICIENT_SCOPE
