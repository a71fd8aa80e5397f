"""
Hostile requests against the door, configured from each example.

Whatever the headers, path, method, host and address: a request without a valid key for exactly this
is never allowed, by an oracle of its own (`product_oracle`), and the call never fails.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.config import read
from authsvc.domain.api import Api
from authsvc.domain.key_text import KeyClass
from authsvc.domain.keys import KeyRecord
from authsvc.domain.network import parse_network
from authsvc.domain.origins import parse_pattern
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, CheckResponse
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.fuzz.product_oracle import PRODUCTS, Holder, Product, permits
from tests.fuzz.product_requests import Draft, clean, hostile
from tests.support.builders import NOW, record
from tests.support.doors import PATIENT, Answer, Door, door
from tests.support.fakes import FakeLimiter

ORIGINS = ("https://app.example", "*.apps.example", "http://localhost:3000")
NETWORKS = ("10.0.0.0/8", "2001:db8::/32")
DEAD = {
    "revoked": {"revoked_at": NOW - 1},
    "deleted": {"deleted_at": NOW - 1},
    "expired": {"expires_at": NOW},
    "early": {"not_before": NOW + 1},
    "rotated": {"grace_ends_at": NOW},
    "suspended": {"organization_active": False},
    "foreign": {"api": "another"},
}
FOREVER = replace(PATIENT, max_staleness=1e9, max_age=1e9, unknown_per_second=10**9)


class Target:
    """A product's oracle, and the real door to the same configuration and keys."""

    def __init__(self, name: str, runner: asyncio.Runner) -> None:
        self.product, self.door = _product(name)
        self.runner = runner

    def ask(self, payload: bytes) -> Answer:
        """Put bytes to the door; a key that is not cached is loaded on the loop, as in the service."""
        return Answer.of(self.runner.run(self.door.answer(payload)))


@cache
def target(name: str) -> Target:
    """Return one product with keys of every kind, environment and state; its loop ends with the process."""
    return Target(name, asyncio.Runner())


NAMES = st.sampled_from(PRODUCTS)
HOSTILE = NAMES.flatmap(lambda name: hostile(target(name).product))
CLEAN = NAMES.flatmap(lambda name: clean(target(name).product))
SPLICES = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=3)


@given(HOSTILE)
def test_a_request_without_a_valid_key_for_exactly_this_is_never_allowed(draft: Draft) -> None:
    """Nearly right requests with a few things wrong, and wholly wild ones."""
    asked, request = target(draft.api), draft.message()
    answer = asked.ask(request.SerializeToString())
    event("allowed" if answer.allowed else answer.reason)

    _assert_well_formed(asked, answer, draft)
    assert not answer.allowed or permits(asked.product, request)


@given(CLEAN)
def test_a_key_passes_where_it_is_good_and_nowhere_else(draft: Draft) -> None:
    """Well-formed requests with any key for any route: the oracle and the door agree both ways."""
    asked, request = target(draft.api), draft.message()
    answer = asked.ask(request.SerializeToString())
    event("allowed" if answer.allowed else answer.reason)

    _assert_well_formed(asked, answer, draft)
    assert answer.allowed == permits(asked.product, request)


@given(CLEAN, SPLICES)
def test_bytes_that_are_no_request_are_denied(draft: Draft, splices: list[tuple[int, int, bytes]]) -> None:
    """A message cut, spliced or altered is judged as what it says, or refused."""
    asked, payload = target(draft.api), bytearray(draft.message().SerializeToString())
    for start, length, piece in splices:
        at = start % (len(payload) + 1)
        payload[at : at + length] = piece
    answer = asked.ask(bytes(payload))
    event("allowed" if answer.allowed else answer.reason)

    assert answer.reason != "unavailable"
    assert not answer.allowed or permits(asked.product, CheckRequest.FromString(bytes(payload)))


def _assert_well_formed(target: Target, answer: Answer, draft: Draft) -> None:
    """Code and body fit together, nobody failed to decide, and nothing of the client comes back."""
    message: CheckResponse = answer.message
    assert answer.reason != "unavailable"
    if answer.allowed:
        assert message.WhichOneof("http_response") == "ok_response"
        assert set(IDENTITY_HEADERS) <= set(answer.headers)
        assert target.product.credential in answer.removed
        return
    assert message.WhichOneof("http_response") == "denied_response"
    assert answer.status in {400, 401, 403, 429}
    assert not draft.key or len(draft.key) < len("shortest key") or draft.key not in str(message)


def _product(name: str) -> tuple[Product, Door]:
    """Return the oracle's product and a door that knows the same keys."""
    product, draw = Product(name), random.Random(name)
    api = read(json.dumps({"apis": {name: product.section}}).encode(), Path("example.yaml")).apis.by_name[name]
    records: dict[str, KeyRecord] = {}
    for key_class in api.keys.classes:
        for holder, changes in _holders(api, key_class, draw):
            product.holders[holder.text] = holder
            records[holder.text] = _record(api, holder, len(records), changes)
    return product, door(records, api, settings=FOREVER, limiter=FakeLimiter())


def _holders(api: Api, of: KeyClass, draw: random.Random) -> Iterator[tuple[Holder, dict[str, object]]]:
    """Make keys of one class: one for each way to be restricted, and one for each way to be dead."""
    names = sorted(api.scopes)
    ceiling = api.kinds[of.kind].ceiling
    listed = None if ceiling is None else ORIGINS
    whole = Holder(_text(api, of, draw), of.kind, of.environment, frozenset(names), listed, able=True)
    yield whole, {}
    whole = replace(whole, able=False)
    for scopes in (None, frozenset(), *(frozenset({name}) for name in names), frozenset(draw.sample(names, 3))):
        yield replace(whole, text=_text(api, of, draw), scopes=scopes), {}
    yield replace(whole, text=_text(api, of, draw), origins=ORIGINS), {}
    yield replace(whole, text=_text(api, of, draw), origins=None), {}
    yield replace(whole, text=_text(api, of, draw), networks=NETWORKS), {}
    yield replace(whole, text=_text(api, of, draw), kind="nobody's"), {}
    for why, changes in DEAD.items():
        yield replace(whole, text=_text(api, of, draw), dead=why), changes


def _text(api: Api, of: KeyClass, draw: random.Random) -> str:
    if of.creates:
        return api.keys.generate(of, draw.choice)
    return "old-" + "".join(draw.choice("abcdefgh.-_!") for _ in range(30))


def _record(api: Api, holder: Holder, number: int, changes: dict[str, object]) -> KeyRecord:
    patterns = None if holder.origins is None else [parse_pattern(text) for text in holder.origins]
    networks = None if holder.networks is None else [parse_network(text) for text in holder.networks]
    assert None not in (patterns or ())
    assert None not in (networks or ())
    fields: dict[str, object] = {
        "id": f"key_{number:026}",
        "api": api.name,
        "kind": holder.kind,
        "environment": holder.environment,
        "scopes": tuple(sorted(holder.scopes or ())),
        "full_access": holder.scopes is None,
        "origins": None if patterns is None else tuple(patterns),
        "networks": None if networks is None else tuple(networks),
    }
    return record(**(fields | changes))
