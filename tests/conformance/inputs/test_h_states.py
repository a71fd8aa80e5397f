"""Section H: keys and organizations in every state, at the instants where one becomes another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.inputs.callers import GOOD, INVALID_KEY
from tests.conformance.inputs.local import local_door, local_key, place
from tests.support.builders import MINUTE, NOW
from tests.support.doors import Answer, Door
from tests.support.products import PRODUCTS

DEAD: dict[str, dict[str, Any]] = {
    "revoked": {"revoked_at": NOW - 1},
    "expired": {"expires_at": NOW - 1},
    "deleted": {"deleted_at": NOW - 1},
    "not-yet-valid": {"not_before": NOW + 1},
    "after-its-grace": {"grace_ends_at": NOW - 1},
}
ALLOWED, REFUSED = 200, 401


async def present(asked: Door, name: str, text: str) -> Answer:
    """Put the good request with a key."""
    header = ("authorization", f"Bearer {text}") if PRODUCTS[name].bearer else ("x-api-key", text)
    return await asked.ask(headers=[header], method=GOOD[name].method, path=GOOD[name].path, extensions=place(name))


async def status(name: str, **changed: Any) -> int:
    """Return what the good request with a changed key gets."""
    answer = await present(local_door(name, changed=changed), name, local_key(name))
    return ALLOWED if answer.allowed else answer.outcome[1]


@pytest.mark.parametrize("name", GOOD)
async def test_h1_dead_keys_cannot_be_told_apart(name: str) -> None:
    """Nor from one that never was: all but the number of the decision is the same, to the byte."""
    told = set()
    for changed in (*DEAD.values(), {}):
        asked = local_door(name, changed=changed)
        answer = await present(asked, name, local_key(name, seed=0 if changed else 9))
        id_ = answer.headers["x-authsvc-decision-id"].encode()
        told.add(answer.message.denied_response.SerializeToString(deterministic=True).replace(id_, b""))
        assert answer.outcome == (16, 401, INVALID_KEY)

    assert len(told) == 1


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({"expires_at": NOW}, REFUSED, id="h2-expires-now"),
        pytest.param({"expires_at": NOW + 1}, ALLOWED, id="h2-expires-next"),
        pytest.param({"not_before": NOW}, ALLOWED, id="begins-now"),
        pytest.param({"grace_ends_at": NOW + 1}, ALLOWED, id="h3-last-of-the-grace"),
        pytest.param({"grace_ends_at": NOW}, REFUSED, id="h3-end-of-the-grace"),
        pytest.param({"grace_ends_at": NOW + MINUTE, "expires_at": NOW}, REFUSED, id="expired-in-its-grace"),
    ],
)
async def test_h2_h3_every_end_is_half_open(name: str, changed: dict[str, Any], expected: int) -> None:
    """A key is dead at its last instant, not one tick later."""
    assert await status(name, **changed) == expected


@pytest.mark.parametrize("name", GOOD)
async def test_h4_a_suspension_is_told_to_valid_keys_only(name: str) -> None:
    """A dead key of the same organization hears what any dead key hears."""
    assert await status(name, organization_active=False) == 403
    for changed in DEAD.values():
        assert await status(name, organization_active=False, **changed) == REFUSED


@pytest.mark.parametrize("name", GOOD)
async def test_h5_the_end_of_a_suspension_revives_no_key(name: str) -> None:
    """What was revoked meanwhile stays so."""
    assert await status(name, organization_active=True) == ALLOWED
    assert await status(name, organization_active=True, revoked_at=NOW - 1) == REFUSED


@pytest.mark.parametrize("name", GOOD)
async def test_h6_a_cached_key_expires_without_the_database(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instant is looked at for every request, not when the key was loaded."""
    asked = local_door(name, changed={"expires_at": NOW + MINUTE})
    before = await present(asked, name, local_key(name))
    asked.store.fault = ConnectionError("lost")
    monkeypatch.setattr("tests.support.doors.NOW", NOW + MINUTE)  # the clock's own

    after = await present(asked, name, local_key(name))

    assert before.allowed
    assert after.outcome == (16, 401, INVALID_KEY)
    assert asked.store.loads == 1
