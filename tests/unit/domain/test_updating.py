"""What a key becomes when some of its fields change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import Key
from authsvc.domain.api import Api, EmptyScopes, OriginPolicy
from authsvc.domain.errors import FailedPreconditionError, InvalidInputError
from authsvc.domain.grants import terms_of
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.keys import Assurance
from authsvc.domain.updating import KEY_FIELDS, Update, update_of
from tests.support.administration import shop, wanted
from tests.support.builders import NOW, PUBLISHABLE, SECRET, record

DAY = 86_400_000_000
BORN = NOW - 10 * DAY


def key(**changes: Any) -> Key:
    """A key of ten days."""
    return Key(
        record=record(**changes),
        name="old",
        hint="sk_live_abcd",
        created_at=BORN,
        created_by="cli",
        updated_at=BORN,
        last_used_at=None,
        revoke_reason="",
        successor_id=None,
        predecessor_id=None,
        etag="1",
    )


def updated(of: Key, api: Api | None = None, **asked: Any) -> Update:
    """Update the fields that are asked for."""
    return update_of(of, frozenset(asked), wanted(**asked), api or shop(), NOW)


@pytest.mark.parametrize("field", sorted(KEY_FIELDS))
def test_only_what_is_named_changes(field: str) -> None:
    """Each field alone leaves all others as they were."""
    old = key(metadata={"a": "1"}, networks=(), full_access=True, expires_at=NOW + DAY, not_before=NOW - 1)
    asked: dict[str, Any] = {
        "name": "new",
        "scopes": ("things:write",),
        "full_access": False,
        "origins": ("https://a.example",),
        "networks": WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False),
        "not_before": NOW,
        "expires_at": NOW + 1,
        "metadata": {"b": "2"},
        "rate_limits": ("1/minute",),
    }
    before = Update(name="old", metadata={"a": "1"}, terms=terms_of(old.record))
    of_terms = {"rate_limits": "limits"}.get(field, field)

    after = update_of(old, frozenset({field}), wanted(**asked), shop(), NOW)

    if field in ("name", "metadata"):
        assert after == replace(before, **{field: asked[field]})
    else:
        assert getattr(after.terms, of_terms) != getattr(before.terms, of_terms)
        assert replace(after, terms=replace(after.terms, **{of_terms: getattr(before.terms, of_terms)})) == before


@pytest.mark.parametrize("field", ["origins", "networks", "not_before", "expires_at"])
def test_what_is_named_and_absent_is_cleared(field: str) -> None:
    """None is unrestricted."""
    old = key(origins=(), networks=(), not_before=NOW, expires_at=NOW + 1)

    assert getattr(updated(old, **{field: None}).terms, field) is None


@pytest.mark.parametrize("empty", list(EmptyScopes))
def test_no_scopes_are_no_scopes(empty: EmptyScopes) -> None:
    """Whatever a new key would get instead, by default or by the API's rule."""
    api = shop(empty_scopes=empty, kinds={"secret": replace(SECRET, default_scopes=("things:read",))})

    terms = updated(key(), api, scopes=()).terms

    assert (terms.scopes, terms.full_access) == ((), False)


def test_full_access_where_there_is_full_access() -> None:
    """Granted and taken back by its own name only."""
    api = shop(empty_scopes=EmptyScopes.FULL_ACCESS)

    assert updated(key(), api, full_access=True).terms.full_access
    assert not updated(key(full_access=True), api, full_access=False).terms.full_access
    assert updated(key(full_access=True), api, scopes=("things:read",)).terms.full_access


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        pytest.param({"name": ""}, "name", id="name"),
        pytest.param({"scopes": ("things:red",)}, "scopes[0]", id="scope"),
        pytest.param({"scopes": ("a:b",) * 65}, "scopes", id="many-scopes"),
        pytest.param({"full_access": True}, "full_access", id="full-access"),
        pytest.param({"origins": ()}, "origins", id="empty-origins"),
        pytest.param({"networks": WantedNetworks(cidrs=(), allow_any=False)}, "networks", id="empty-networks"),
        pytest.param({"metadata": {"A": ""}}, "metadata", id="metadata"),
        pytest.param({"rate_limits": ("1/week",)}, "rate_limits[0]", id="rate-limit"),
        pytest.param({"expires_at": NOW}, "expires_at", id="expiry-of-now"),
        pytest.param({"expires_at": NOW + 5, "not_before": NOW + 5}, "expires_at", id="never-valid"),
        pytest.param({"not_before": NOW + DAY}, "not_before", id="not-before-its-end"),
    ],
)
def test_what_a_new_key_cannot_have_no_key_gets(asked: dict[str, Any], field: str) -> None:
    """The refusal begins with the field."""
    with pytest.raises(InvalidInputError) as raised:
        updated(key(expires_at=NOW + DAY), **asked)

    assert str(raised.value).partition(":")[0] == field


def test_a_beginning_may_move_up_to_the_end() -> None:
    """And anywhere where there is no end, or be cleared."""
    ending = key(expires_at=NOW + DAY)

    assert updated(ending, not_before=NOW + DAY - 1).terms.not_before == NOW + DAY - 1
    assert updated(key(), not_before=NOW + 9 * DAY).terms.not_before == NOW + 9 * DAY
    assert updated(ending, not_before=None).terms.not_before is None


def test_a_longest_life_counts_from_birth() -> None:
    """No update makes a key live longer than a new one could have."""
    api = shop(kinds={"secret": replace(SECRET, max_lifetime=30 * DAY)})
    end = BORN + 30 * DAY

    assert updated(key(expires_at=NOW + 1), api, expires_at=end).terms.expires_at == end
    for expires_at in (end + 1, None):
        with pytest.raises(InvalidInputError, match=r"^expires_at: "):
            updated(key(expires_at=NOW + 1), api, expires_at=expires_at)


def test_a_kind_keeps_what_it_demands() -> None:
    """Origins that it needs cannot be cleared, those it has no use for cannot be set, its ceiling stays."""
    needing = shop(kinds={"secret": PUBLISHABLE})
    refusing = shop(kinds={"secret": replace(SECRET, origins=OriginPolicy.FORBIDDEN)})

    with pytest.raises(InvalidInputError, match=r"^origins: "):
        updated(key(), needing, origins=None)
    with pytest.raises(InvalidInputError, match=r"^origins: "):
        updated(key(), refusing, origins=("https://a.example",))
    with pytest.raises(InvalidInputError, match=r"^scopes\[0\]: "):
        updated(key(), needing, scopes=("things:write",))


def test_a_kind_that_is_gone_changes_no_more() -> None:
    """Nobody knows what its keys may have."""
    with pytest.raises(FailedPreconditionError):
        updated(key(kind="legacy"), name="new")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param({"expires_at": None}, "expires_at: at most 90 days after the import", id="no-end"),
        pytest.param({"expires_at": BORN + 90 * DAY + 1}, "expires_at: at most 90 days", id="late-end"),
        pytest.param({"scopes": ("keys:write",)}, "scopes: not keys:write", id="managing"),
        pytest.param({"full_access": True}, "full_access: not where it includes", id="managing-by-all"),
    ],
)
def test_a_digest_of_which_nothing_is_known_stays_within_its_bounds(asked: dict[str, Any], told: str) -> None:
    """What an import may not bring, a later change does not; of a key that was declared it may."""
    scopes = shop().scopes
    managed = shop(
        scopes=scopes | {"keys:write": scopes["things:read"]},
        empty_scopes=EmptyScopes.FULL_ACCESS,
        full_access_manages_keys=True,
    )
    unknown = key(expires_at=BORN + 90 * DAY, assurance=Assurance.UNKNOWN)

    with pytest.raises(InvalidInputError, match=told):
        updated(unknown, managed, **asked)
    assert updated(key(expires_at=BORN + 90 * DAY, assurance=Assurance.DECLARED), managed, **asked)
    assert updated(unknown, managed, expires_at=BORN + 90 * DAY, scopes=("things:read",), name="new")
