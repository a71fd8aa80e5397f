"""The built-in API of administrators."""

from __future__ import annotations

import secrets

from authsvc.config import admin_api
from authsvc.domain.api import EmptyScopes


def test_nothing_leads_to_it() -> None:
    """No host and no route, so the data plane has no rule that allows anything."""
    api = admin_api()

    assert (frozenset(), ()) == (api.hosts, api.routes.routes)


def test_its_catalogue() -> None:
    """The scopes of administration, none of them granted unless named."""
    api = admin_api()

    assert {
        "keys:read",
        "keys:write",
        "keys:import",
        "organizations:read",
        "organizations:write",
        "decisions:explain",
        "audit:read",
        "usage:read",
    } == set(api.scopes)
    assert EmptyScopes.NONE is api.empty_scopes
    assert api.kinds[api.default_kind].default_scopes == ()


def test_its_keys() -> None:
    """One class, with a checksum; what it makes, it reads."""
    api = admin_api()
    key_class = api.keys.creating("secret", None)

    assert key_class is not None
    text = api.keys.generate(key_class, secrets.choice)
    assert text.startswith("authsvc_")
    assert len(text) == 46
    assert api.keys.parse(text) is key_class
