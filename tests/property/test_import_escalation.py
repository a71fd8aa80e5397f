"""
No import leaves a key behind that can do more than its actor may grant, whatever a record asks.

The oracle tells by hand what an operator may grant: the product's catalogue within the kind's ceiling,
an end where the kind asks for one, and the scopes that manage keys only where it holds them itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, EmptyScopes
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from authsvc.domain.keys import Assurance, KeyRecord
from authsvc.usecases.import_keys import Header, ImportKeys, Received
from tests.support.administration import ACME_ID, GLOBEX_ID, OPERATORS_ID, World, ids, shop
from tests.support.builders import NOW, PUBLISHABLE, SECRET, key_class
from tests.support.fakes import PEPPERS
from tests.support.imports import foreign_key

CATALOGUE = ("things:read", "things:write", "things:create", "keys:read", "keys:write")
MANAGING = {"keys:read", "keys:write"}
LONGEST = 1000
_VISIBLE: dict[str, Any] = {"alphabet": Alphabet.VISIBLE, "min_length": 8, "max_length": 64, "checksum": Checksum.NONE}
CLASSES = [
    key_class(),
    key_class(prefix="old_", imports=("sha256",), **_VISIBLE),
    key_class(prefix="pub_", kind="publishable", imports=("sha256",), **_VISIBLE),
    key_class(prefix="end_", kind="ending", environment="test", imports=("sha256",), **_VISIBLE),
]
UNSURE = 90 * 86_400_000_000  # microseconds
ENDING = replace(SECRET, name="ending", max_lifetime=LONGEST)


def product(*, manages: bool, full: bool) -> Api:
    """Return a product with three kinds, which may or may not know full access, with or without managing keys."""
    some = shop()
    scope = next(iter(some.scopes.values()))
    return shop(
        keys=KeyTable(CLASSES),
        kinds={"secret": SECRET, "publishable": replace(PUBLISHABLE, origins=SECRET.origins), "ending": ENDING},
        scopes={name: replace(scope, name=name) for name in CATALOGUE},
        empty_scopes=EmptyScopes.FULL_ACCESS if full else EmptyScopes.NONE,
        full_access_manages_keys=manages,
    )


def exceeds(key: KeyRecord, api: Api, actor: frozenset[str]) -> str:
    """Return in what a key goes beyond what the operator may grant; empty when in nothing."""
    unknown = key.assurance is Assurance.UNKNOWN
    ceiling = {"secret": set(CATALOGUE), "publishable": {"things:create"}, "ending": set(CATALOGUE)}[key.kind]
    managed = MANAGING & set(key.scopes) | (MANAGING if key.full_access and api.full_access_manages_keys else set())
    wrong = {
        "api": key.api != "shop",
        "owner": key.organization_id not in {ACME_ID, GLOBEX_ID},
        "scopes": not ceiling.issuperset(key.scopes),
        "full access": key.full_access and (api.empty_scopes is EmptyScopes.NONE or key.kind == "publishable"),
        "managing": not managed <= actor,
        "environment": key.environment != {"ending": "test"}.get(key.kind, "live"),
        "end": key.kind == "ending" and not (key.expires_at and NOW < key.expires_at <= NOW + LONGEST),
        "assurance": unknown and ("keys:write" in managed or not (key.expires_at and key.expires_at <= NOW + UNSURE)),
        "restrictions": key.revoked_at is not None or key.deleted_at is not None,
    }
    return ", ".join(name for name, is_wrong in wrong.items() if is_wrong)


# Mostly what may be stored: a batch that is rejected for something else tells nothing about this.
RECORDS = st.builds(
    foreign_key,
    st.integers(1, 50),
    st.sampled_from(["sha256", "sha256", "sha256", ""]),
    prefix=st.sampled_from(["old_", "old_", "old_", "pub_", "end_", "sk_live_"]),
    organization_id=st.sampled_from([ACME_ID, ACME_ID, GLOBEX_ID, OPERATORS_ID]),
    kind=st.sampled_from(["", "", "", "", "secret", "publishable"]),
    environment=st.sampled_from(["", "", "", "", "live", "test"]),
    scopes=st.lists(st.sampled_from(CATALOGUE), max_size=2).map(tuple)
    | st.lists(st.sampled_from((*CATALOGUE, "*", "keys:import")), max_size=3).map(tuple),
    full_access=st.sampled_from([False, False, False, True]),
    expires_at=st.none()
    | st.sampled_from([NOW, NOW + 1, NOW + LONGEST, NOW + LONGEST + 1, NOW + UNSURE, NOW + UNSURE + 1]),
)


@given(
    records=st.lists(RECORDS, min_size=2, max_size=6),
    scopes=st.frozensets(st.sampled_from(("keys:read", "keys:write")), max_size=2),
    manages=st.booleans(),
    full=st.booleans(),
    assurance=st.sampled_from(Assurance),
)
def test_an_imported_key_never_exceeds_the_actor(
    records: list[Any], scopes: frozenset[str], *, manages: bool, full: bool, assurance: Assurance
) -> None:
    """Of every batch, each key that is stored lies within what its operator may grant."""
    api = product(manages=manages, full=full)
    stored = asyncio.run(_import(api, scopes, records, assurance))

    event("stored" if stored else "all rejected")
    assert [""] * len(stored) == [exceeds(key, api, scopes) for key in stored]


async def _import(api: Api, scopes: frozenset[str], records: list[Any], assurance: Assurance) -> list[KeyRecord]:
    world = await World(product=api).populate()
    boundless = world.boundless()
    own = replace(boundless.record, scopes=tuple(sorted({"keys:import", *scopes})), full_access=False)
    caller = Administrator(api=boundless.api, record=own, address="", as_of=None)

    async def one() -> Any:
        yield Received(records=records, digest=b"")

    use = ImportKeys(world.store, world.cache, PEPPERS, world.apis, ids(), world.clock)
    header = Header(source="legacy", api="shop", dry_run=False, assurance=assurance, request_id="")
    await use(caller, header, one())
    return [key.record for key in world.store.keys.values()]
