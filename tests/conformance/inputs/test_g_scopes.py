"""Section G: what a key without the scopes gets, and when. The administration's part is in tests/unit/servicers."""

from __future__ import annotations

import pytest

from authsvc.domain.keys import Revision
from tests.conformance.inputs.callers import GOOD, NO_ROUTE, SCOPE
from tests.conformance.inputs.local import local_class, local_door, local_key, place
from tests.support.builders import REVISION, record
from tests.support.doors import Answer, Door
from tests.support.products import PRODUCTS


async def present(asked: Door, name: str, **extensions: str) -> Answer:
    """Put the good request with the one key."""
    text = local_key(name)
    header = ("authorization", f"Bearer {text}") if PRODUCTS[name].bearer else ("x-api-key", text)
    of = {**place(name), **extensions}
    return await asked.ask(headers=[header], method=GOOD[name].method, path=GOOD[name].path, extensions=of)


@pytest.mark.parametrize("name", GOOD)
async def test_g2_an_empty_list_opens_nothing(name: str) -> None:
    """In the row: whatever empty means when a key is made, it was written down then."""
    assert (await present(local_door(name, changed={"scopes": ()}), name)).outcome[1:] == (403, SCOPE)
    assert (await present(local_door(name, changed={"scopes": (), "full_access": True}), name)).allowed


@pytest.mark.parametrize("name", GOOD)
async def test_g4_all_scopes_must_hold(name: str) -> None:
    """The route's and the operator's together; one of two is not enough, in either order."""
    own, other = GOOD[name].scope, GOOD[name].other[2]
    for required in (f"{own},{other}", f"{other},{own}", other):
        assert (await present(local_door(name), name, required_scopes=required)).outcome[1:] == (403, SCOPE)
    both = local_door(name, changed={"scopes": (own, other)})
    assert (await present(both, name, required_scopes=f"{own},{other}")).allowed


@pytest.mark.parametrize("name", GOOD)
async def test_g4_any_is_not_a_word(name: str) -> None:
    """Nothing that looks like an alternative is one."""
    own, other = GOOD[name].scope, GOOD[name].other[2]
    for required in (f"{own}|{other}", f"{own} {other}", f"any_of:{own}", "*"):
        assert not (await present(local_door(name), name, required_scopes=required)).allowed
    assert (await present(local_door(name), name, any_of=own)).outcome[1:] == (403, NO_ROUTE)


@pytest.mark.parametrize("name", GOOD)
async def test_g7_a_scope_that_is_taken_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request that starts after the change was acknowledged is refused."""
    asked = local_door(name)
    assert (await present(asked, name)).allowed

    changed = record(api=name, environment=local_class(name).environment, scopes=())
    asked.store_key(local_key(name), changed)
    later = Revision(epoch=REVISION.epoch, seq=REVISION.seq + 1)
    monkeypatch.setattr("tests.support.doors.REVISION", later)  # the database's own
    asked.cache.invalidate(later, changed.id)

    assert (await present(asked, name)).outcome[1:] == (403, SCOPE)
