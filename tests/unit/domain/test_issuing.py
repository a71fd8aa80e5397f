"""What is asked for a new key → its terms, within what API and kind permit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.api import Api, EmptyScopes, OriginPolicy
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.issuing import Wanted, issue_of, rate_limits, with_preset
from authsvc.domain.key_text import Alphabet, KeyTable
from authsvc.domain.quotas import Algorithm, Limit, Subject
from tests.support.builders import MINUTE, NOW, PUBLISHABLE, SECRET, api, key_class, kind

CLASSES = (
    key_class(),
    key_class(prefix="sk_test_", environment="test"),
    key_class(prefix="pk_", kind="publishable"),
    key_class(prefix="old_", kind="imported", alphabet=Alphabet.VISIBLE),
    key_class(prefix="plain_", kind="plain", environment=None),
)
KINDS = {
    "secret": SECRET,
    "publishable": replace(PUBLISHABLE, default_scopes=("things:create",)),
    "imported": kind(name="imported"),
    "plain": kind(name="plain", origins=OriginPolicy.FORBIDDEN),
    "brief": kind(name="brief", max_lifetime=MINUTE),
    "ending": kind(name="ending", expiry_required=True),
    "defaulted": kind(name="defaulted", default_scopes=("things:read", "things:create")),
}
ORIGIN = ("https://a.example",)


def shop(**changes: Any) -> Api:
    """A product with a key class for every kind."""
    more = [key_class(prefix=f"{name}_", kind=name) for name in ("brief", "ending", "defaulted")]
    return api(keys=KeyTable([*CLASSES, *more]), kinds=KINDS, **changes)


def wanted(**changes: Any) -> Wanted:
    """A live secret key without anything else."""
    plain = Wanted(
        name="ci",
        metadata={},
        kind="",
        environment="live",
        scopes=(),
        full_access=False,
        origins=None,
        networks=None,
        rate_limits=(),
        not_before=None,
        expires_at=None,
    )
    return replace(plain, **changes)


def test_the_plainest_key_can_do_nothing() -> None:
    """Of the default kind, without scopes, restrictions or end."""
    issue = issue_of(wanted(), shop(), NOW)
    terms = issue.terms

    assert (issue.name, issue.metadata, issue.key_class.prefix) == ("ci", {}, "sk_live_")
    assert (terms.kind, terms.environment, terms.scopes, terms.full_access) == ("secret", "live", (), False)
    assert (
        terms.origins,
        terms.networks,
        terms.limits,
        terms.not_before,
        terms.expires_at,
    ) == (None, None, (), None, None)


@pytest.mark.parametrize(
    ("asked", "changes", "expected"),
    [
        pytest.param({}, {}, ((), False), id="none"),
        pytest.param({}, {"empty_scopes": EmptyScopes.FULL_ACCESS}, ((), True), id="empty-is-full-access"),
        pytest.param(
            {"kind": "publishable", "origins": ORIGIN},
            {"empty_scopes": EmptyScopes.FULL_ACCESS},
            (("things:create",), False),
            id="a-bounded-kind-gets-its-defaults",
        ),
        pytest.param({"kind": "defaulted"}, {}, (("things:create", "things:read"), False), id="defaults-sorted"),
        pytest.param(
            {"kind": "defaulted", "scopes": ("things:write", "things:write")},
            {},
            (("things:write",), False),
            id="named-in-place-of-defaults",
        ),
        pytest.param(
            {"full_access": True}, {"empty_scopes": EmptyScopes.FULL_ACCESS}, ((), True), id="full-access-by-name"
        ),
        pytest.param(
            {"full_access": True, "scopes": ("things:read",)},
            {"empty_scopes": EmptyScopes.FULL_ACCESS},
            (("things:read",), True),
            id="full-access-and-a-scope",
        ),
        pytest.param(
            {"scopes": ("things:read",)},
            {"empty_scopes": EmptyScopes.FULL_ACCESS},
            (("things:read",), False),
            id="named-scopes-are-all",
        ),
    ],
)
def test_scopes(asked: dict[str, Any], changes: dict[str, Any], expected: tuple[tuple[str, ...], bool]) -> None:
    """Named ones, else the kind's defaults, else the API's rule for none, stamped as a flag."""
    terms = issue_of(wanted(**asked), shop(**changes), NOW).terms

    assert expected == (terms.scopes, terms.full_access)


def test_a_bounded_kind_without_defaults_never_gets_full_access() -> None:
    """The rule for empty scopes is for kinds without a ceiling."""
    kinds = {**KINDS, "publishable": PUBLISHABLE}
    lenient = replace(shop(empty_scopes=EmptyScopes.FULL_ACCESS), kinds=kinds)

    assert not issue_of(wanted(kind="publishable", origins=ORIGIN), lenient, NOW).terms.full_access


@pytest.mark.parametrize(
    ("asked", "prefix"),
    [
        pytest.param({"environment": "test"}, "sk_test_", id="named"),
        pytest.param({"kind": "publishable", "environment": "", "origins": ORIGIN}, "pk_", id="one-choice"),
        pytest.param({"kind": "plain", "environment": ""}, "plain_", id="none-to-choose"),
    ],
)
def test_kind_and_environment_pick_the_class(asked: dict[str, Any], prefix: str) -> None:
    """Where the configuration leaves one environment, it need not be named."""
    assert prefix == issue_of(wanted(**asked), shop(), NOW).key_class.prefix


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        pytest.param({"name": ""}, "name: ", id="name"),
        pytest.param({"metadata": {"A": ""}}, "metadata: ", id="metadata"),
        pytest.param({"kind": "unheard-of"}, "kind: one of ", id="unknown-kind"),
        pytest.param({"kind": "imported"}, "kind: keys of kind imported are not made here", id="import-only"),
        pytest.param({"environment": ""}, "environment: one of live, test", id="which-environment"),
        pytest.param({"environment": "stage"}, "environment: one of live, test", id="unknown-environment"),
        pytest.param({"kind": "plain"}, "environment: keys of kind plain have none", id="no-environment"),
        pytest.param({"full_access": True}, "full_access: ", id="full-access-not-permitted"),
        pytest.param({"scopes": ("things:red",)}, "scopes[0]: shop has no scope things:red", id="unknown-scope"),
        pytest.param({"scopes": ("things:read", "*")}, "scopes[1]: a scope is", id="star-is-no-scope"),
        pytest.param({"scopes": ("x" * 1_000_000,)}, "scopes[0]: a scope is", id="scope-of-a-megabyte"),
        pytest.param({"scopes": ("things:read",) * 65}, "scopes: at most 64", id="too-many-scopes"),
        pytest.param(
            {"kind": "publishable", "scopes": ("things:write",), "origins": ORIGIN},
            "scopes[0]: things:write is beyond what keys of kind publishable can hold",
            id="above-the-ceiling",
        ),
        pytest.param({"kind": "publishable"}, "origins: keys of kind publishable need", id="origins-required"),
        pytest.param({"kind": "plain", "environment": "", "origins": ORIGIN}, "origins: ", id="origins-forbidden"),
        pytest.param({"origins": ()}, "origins: ", id="empty-origins"),
        pytest.param({"networks": WantedNetworks(cidrs=(), allow_any=False)}, "networks: ", id="empty-networks"),
        pytest.param({"expires_at": NOW}, "expires_at: must lie ahead", id="expires-now"),
        pytest.param({"expires_at": NOW + 1, "not_before": NOW + 1}, "expires_at: must lie after", id="never-valid"),
        pytest.param({"kind": "brief"}, "expires_at: keys of kind brief need an end", id="bounded-life-without-end"),
        pytest.param(
            {"kind": "brief", "expires_at": NOW + MINUTE + 1}, "expires_at: keys of kind brief live", id="long"
        ),
        pytest.param({"kind": "ending"}, "expires_at: keys of kind ending need an end", id="end-required"),
        pytest.param({"rate_limits": ("10/fortnight",)}, "rate_limits[0]: ", id="unknown-period"),
        pytest.param({"rate_limits": ("1/minute", "2/minute")}, "rate_limits[1]: ", id="one-period-twice"),
        pytest.param({"rate_limits": ("1/minute",) * 5}, "rate_limits: at most 4", id="too-many-limits"),
    ],
)
def test_what_nobody_may_have_is_refused_by_its_field(asked: dict[str, Any], text: str) -> None:
    """The refusal names the field, and what is possible where that is short."""
    with pytest.raises(InvalidInputError) as raised:
        issue_of(wanted(**asked), shop(), NOW)

    assert str(raised.value).startswith(text)


READERS = {"reader": ("things:read",), "writer": ("things:write", "things:read")}


def test_a_preset_is_the_scopes_that_it_stands_for() -> None:
    """They are stored as if they had been named; defaults are not added."""
    asked = wanted(kind="defaulted")

    assert with_preset("writer", asked, shop(presets=READERS)) == replace(asked, scopes=("things:write", "things:read"))
    assert with_preset("", asked, shop(presets=READERS)) == asked


@pytest.mark.parametrize(
    ("name", "asked", "presets", "text"),
    [
        pytest.param("editor", {}, READERS, "preset: one of reader, writer", id="unknown"),
        pytest.param("Reader", {}, READERS, "preset: one of reader, writer", id="in-other-case"),
        pytest.param("reader", {}, {}, "preset: shop has none", id="none-at-all"),
        pytest.param("reader", {"kind": "odd"}, READERS, "kind: one of ", id="unknown-kind"),
        pytest.param("reader", {"scopes": ("things:read",)}, READERS, "preset: stands in place", id="with-scopes"),
        pytest.param("reader", {"full_access": True}, READERS, "preset: stands in place", id="with-full-access"),
        pytest.param(
            "writer",
            {"kind": "publishable"},
            READERS,
            "preset: writer is beyond what keys of kind publishable can hold",
            id="beyond-the-ceiling",
        ),
    ],
)
def test_a_preset_that_cannot_be_granted_is_refused(
    name: str, asked: dict[str, Any], presets: dict[str, tuple[str, ...]], text: str
) -> None:
    """The refusal names the presets that there are."""
    with pytest.raises(InvalidInputError) as raised:
        with_preset(name, wanted(**asked), shop(presets=presets))

    assert str(raised.value).startswith(text)


def test_a_full_access_bounded_kind_is_refused() -> None:
    """Where the API permits full access, a kind with a ceiling still does not."""
    lenient = shop(empty_scopes=EmptyScopes.FULL_ACCESS)

    with pytest.raises(InvalidInputError, match=r"^full_access: "):
        issue_of(wanted(kind="publishable", origins=ORIGIN, full_access=True), lenient, NOW)


def test_the_longest_life_is_permitted() -> None:
    """A kind's longest life counts from now and includes its last instant."""
    assert issue_of(wanted(kind="brief", expires_at=NOW + MINUTE), shop(), NOW).terms.expires_at == NOW + MINUTE


def test_rate_limits_have_names_of_their_own() -> None:
    """Limits of one key are told apart by name, and may be used up at once."""
    first, second = rate_limits(("10/minute", "100/day"))
    expected = Limit(
        name="key", subject=Subject.KEY, algorithm=Algorithm.GCRA, count=10, period_ns=60_000_000_000, burst=10
    )

    assert (expected, "key-2") == (first, second.name)
