"""Who administers, and how far they reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API, Actor
from authsvc.domain.administrator import Access, Administrator, permit
from authsvc.domain.api import Api
from authsvc.domain.errors import PermissionDeniedError
from authsvc.domain.keys import Assurance
from tests.support.builders import PUBLISHABLE, api, record

READ = Access(action="key.get", scope="keys:read", operators_only=False)
OPERATORS_READ = Access(action="key.get", scope="keys:read", operators_only=True)
OTHER = "org_01J00000000000000000000002"


def product(of: Api | None = None, **changes: Any) -> Administrator:
    """A product's key."""
    return Administrator(api=of or api(), record=record(**changes), address="192.0.2.1", as_of=None)


def operator(**changes: Any) -> Administrator:
    """A key of the administration itself."""
    fields = {"api": ADMIN_API, "environment": None, "scopes": ("keys:read",), **changes}
    return Administrator(api=admin_api(), record=record(**fields), address="", as_of=None)


@pytest.mark.parametrize(
    ("administrator", "access"),
    [
        pytest.param(operator(), READ, id="operator"),
        pytest.param(operator(), OPERATORS_READ, id="operator-only"),
        pytest.param(operator(full_access=True, scopes=()), OPERATORS_READ, id="operator-with-full-access"),
        pytest.param(product(scopes=("keys:read",)), READ, id="product-by-name"),
        pytest.param(product(scopes=("keys:read",), full_access=True), READ, id="product-by-name-beside-full-access"),
        pytest.param(
            product(api(full_access_manages_keys=True), full_access=True, scopes=()),
            READ,
            id="full-access-that-manages",
        ),
    ],
)
def test_the_scope_admits(administrator: Administrator, access: Access) -> None:
    """Operators by any grant, products by name, or by full access where the API says so."""
    permit(administrator, access)


@pytest.mark.parametrize(
    ("administrator", "access"),
    [
        pytest.param(operator(scopes=("keys:write",)), READ, id="operator-without-the-scope"),
        pytest.param(product(scopes=("keys:write",)), READ, id="product-without-the-scope"),
        pytest.param(product(full_access=True, scopes=()), READ, id="full-access-alone"),
        pytest.param(product(kind="publishable", scopes=("keys:read",)), READ, id="above-its-kinds-ceiling"),
        pytest.param(product(scopes=("keys:read",)), OPERATORS_READ, id="product-where-operators-only"),
        pytest.param(operator(full_access=True), None, id="what-nobody-may"),
    ],
)
def test_everyone_else_is_refused(administrator: Administrator, access: Access | None) -> None:
    """Without the scope, by name, and within reach, there is no way in."""
    with pytest.raises(PermissionDeniedError):
        permit(administrator, access)


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param({"scopes": ("keys:write", "keys:read")}, id="by-name"),
        pytest.param({"scopes": (), "full_access": True}, id="by-full-access"),
    ],
)
def test_a_digest_of_which_nothing_is_known_makes_no_keys(grant: dict[str, Any]) -> None:
    """Whatever its row says: the API's configuration may have changed since, or older code have written it."""
    managed = api(full_access_manages_keys=True)

    assert not product(managed, **grant, assurance=Assurance.UNKNOWN).holds("keys:write")
    assert product(managed, **grant, assurance=Assurance.UNKNOWN).holds("keys:read")
    assert product(managed, **grant, assurance=Assurance.DECLARED).holds("keys:write")


def test_a_ceiling_can_let_a_kind_manage() -> None:
    """A bounded kind that may hold the scope may use it."""
    kinds = {"publishable": replace(PUBLISHABLE, ceiling=frozenset({"keys:read"}))}

    permit(product(api(kinds=kinds), kind="publishable", scopes=("keys:read",)), READ)


@pytest.mark.parametrize(
    ("administrator", "changes", "expected"),
    [
        pytest.param(product(), {}, True, id="its-own"),
        pytest.param(product(), {"organization_id": OTHER}, False, id="another-organizations"),
        pytest.param(product(), {"api": "other"}, False, id="another-apis"),
        pytest.param(operator(), {"organization_id": OTHER}, True, id="operator-any-organization"),
        pytest.param(operator(), {"api": "other"}, True, id="operator-any-api"),
    ],
)
def test_reach(administrator: Administrator, changes: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table
    """A product's key reaches the keys of its own organization and API; operators reach all."""
    assert expected is administrator.reaches(record(**changes))


def test_the_actor_is_the_key_with_its_address() -> None:
    """The audit trail gets who called, from where, under which request id."""
    caller = product()
    expected = Actor(
        key_id=caller.record.id, organization_id=caller.record.organization_id, address="192.0.2.1", request_id="r"
    )

    assert expected == caller.actor("r")
