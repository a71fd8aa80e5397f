"""Calls at once: who may have how many, and what is remembered of whom."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API
from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import OverloadedError
from authsvc.listeners import options
from authsvc.servicers import shares
from authsvc.servicers.shares import LIMITS, Place, Shares
from tests.support.administration import shop
from tests.support.builders import record

SECRET = b"s" * 32


def operator(number: int) -> Administrator:
    """Give an operator."""
    return Administrator(api=admin_api(), record=record(id=f"key_{number}", api=ADMIN_API), address="", as_of=None)


def product(number: int, organization: str) -> Administrator:
    """Give a product's key."""
    own = record(id=f"product_{number}", organization_id=organization)
    return Administrator(api=shop(), record=own, address="", as_of=None)


def begin(places: Shares, caller: Administrator, address: str = "192.0.2.1") -> Place:
    """Begin a call whose caller becomes known at once."""
    place = places.enter(caller.record.id, address)
    try:
        place.known(caller)
    except OverloadedError:
        place.leave()
        raise
    return place


def fill(places: Shares, *callers: Administrator) -> int:
    """Begin calls in turn until one is refused; return how many began."""
    begun = 0
    while True:
        try:
            begin(places, callers[begun % len(callers)])
        except OverloadedError:
            return begun
        begun += 1


def test_the_bounds_leave_room() -> None:
    """For other operators beside one and all products, and for our refusal before grpcio's."""
    assert LIMITS["operator"] + LIMITS["products"] < LIMITS["all"]
    assert LIMITS["organization"] < LIMITS["products"]
    assert LIMITS["address"] < LIMITS["unknown"]
    assert LIMITS["all"] + LIMITS["unknown"] < options.ADMIN.rpcs


def test_one_operator_gets_in_beside_whoever_floods() -> None:
    """An operator and a hundred organizations have all that they may have; another operator has not."""
    places = Shares(SECRET)

    flooded = fill(places, operator(1)), fill(places, *(product(n, f"org_{n}") for n in range(100)))

    assert flooded == (LIMITS["operator"], LIMITS["products"])
    begin(places, operator(2))


def test_one_organization_leaves_room_for_others() -> None:
    """However many keys it has."""
    places = Shares(SECRET)

    assert fill(places, *(product(n, "org_1") for n in range(100))) == LIMITS["organization"]
    begin(places, product(1000, "org_2"))


def test_a_refusal_says_whose_bound_it_is() -> None:
    """Callers who are known are told that it is theirs."""
    places = Shares(SECRET)
    fill(places, product(1, "org_1"))
    with pytest.raises(OverloadedError, match=r"^the organization has too many"):
        begin(places, product(2, "org_1"))
    fill(places, operator(1))
    with pytest.raises(OverloadedError, match=r"^this key has too many"):
        begin(places, operator(1))


def test_what_ends_is_given_back_and_nothing_is_left() -> None:
    """Ended twice, refused on the way, or never known."""
    places = Shares(SECRET)
    begun = [begin(places, operator(1)) for _ in range(LIMITS["operator"])]
    with pytest.raises(OverloadedError):
        begin(places, operator(1), "198.51.100.1")
    begun.append(places.enter("nobody's", "192.0.2.1"))
    begun.append(places.enter(None, ""))

    for place in [*begun, *begun]:
        place.leave()

    assert places._taken == {}


def test_unknown_callers_stand_before_no_operator_that_was_here() -> None:
    """All places of the unknown ones are taken: a newcomer waits, whoever was good before does not."""
    places = Shares(SECRET)
    begin(places, operator(1)).leave()
    for number in range(LIMITS["unknown"]):
        places.enter(f"guess {number}", f"192.0.2.{number % 2}")

    begin(places, operator(1))
    with pytest.raises(OverloadedError):
        begin(places, operator(2))


def test_one_address_leaves_room_for_others() -> None:
    """Among those who are not known yet."""
    places = Shares(SECRET)
    for _ in range(LIMITS["address"]):
        places.enter(None, "192.0.2.1")

    with pytest.raises(OverloadedError, match="from this address"):
        places.enter(None, "192.0.2.1")
    places.enter(None, "192.0.2.2")


def test_a_key_that_is_dead_is_a_stranger() -> None:
    """It stands in nobody's share any longer."""
    places = Shares(SECRET)
    begin(places, operator(1)).leave()

    places.enter("key_1", "").unknown()

    places.enter("key_1", "")
    assert (places.taken("operator", "key_1"), places.taken("unknown")) == (1, 1)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest, of operators and of products apart, and no credential as it is."""
    monkeypatch.setattr(shares, "REMEMBERED", 3)
    places = Shares(SECRET)
    begin(places, operator(0)).leave()
    for number in range(1, 50):
        begin(places, product(number, f"org_{number}")).leave()

    kept: Any = places._remembered
    assert {name: len(found) for name, found in kept.items()} == {"operator": 1, "products": 3}
    assert all(len(fingerprint) == 16 for found in kept.values() for fingerprint in found)
