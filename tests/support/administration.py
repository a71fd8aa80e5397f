"""A small world to administer: a product, the administration's own API, operators and customers, in memory."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace
from typing import Any

from authsvc.cache import CachedKeyStore
from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API, OPERATORS, Actor, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, Apis, OriginPolicy, Scope
from authsvc.domain.issuing import Wanted
from authsvc.domain.key_text import KeyTable
from authsvc.ports import NewOrganization
from authsvc.usecases.administer import Administer
from authsvc.usecases.create_key import CreatedKey, CreateKey, KeyRequest, Mint
from authsvc.usecases.find_bearer import FindBearer
from tests.support.builders import PUBLISHABLE, SECRET, api, key_class, record
from tests.support.fakes import PEPPERS, FakeClock, FakeLimiter, FakeStore, cache_over

NOBODY = Actor(key_id="test", organization_id="", address="", request_id="")
OPERATORS_ID = "org_01J0000000000000000000000Z"
ACME_ID = "org_01J0000000000000000000000A"
GLOBEX_ID = "org_01J0000000000000000000000B"
NO_ORGANIZATION = "org_01J0000000000000000000000X"
NO_KEY = "key_01J0000000000000000000000X"
ALL_SCOPES = ("things:create", "things:read", "things:write", "keys:read", "keys:write")

PRESETS = {"reader": ("things:read",), "writer": ("things:read", "things:write")}


def shop(**changes: Any) -> Api:
    """A product whose keys may manage keys, with secret and publishable classes in two environments."""
    classes = [
        key_class(),
        key_class(prefix="sk_test_", environment="test"),
        key_class(prefix="pk_live_", kind="publishable"),
        key_class(prefix="pk_test_", kind="publishable", environment="test"),
    ]
    fields = {
        "keys": KeyTable(classes),
        "kinds": {"secret": SECRET, "publishable": replace(PUBLISHABLE, origins=OriginPolicy.OPTIONAL)},
        "scopes": {name: Scope(name=name, description="") for name in ALL_SCOPES},
        "presets": PRESETS,
        **changes,
    }
    return api(**fields)


def ids() -> Any:
    """Return what makes ids, in order and without randomness."""
    counter = itertools.count(1)
    return lambda: f"01J1{next(counter):022}"


def wanted(**changes: Any) -> Wanted:
    """A live secret key of the product without anything else."""
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


def key_request(**changes: Any) -> KeyRequest:
    """Ask for a key of the first customer; what `KeyRequest` does not know is of `Wanted`."""
    plain = KeyRequest(api="shop", organization_id=ACME_ID, wanted=wanted(), request_id="")
    own = {
        name: changes.pop(name)
        for name in ("api", "organization_id", "request_id", "preset", "body")
        if name in changes
    }
    return replace(plain, **own, wanted=wanted(**changes))


@dataclass
class World:
    """Everything that the use cases need, and the ones that most tests start with."""

    product: Api = field(default_factory=shop)
    clock: FakeClock = field(default_factory=FakeClock)
    limiter: FakeLimiter = field(default_factory=FakeLimiter)

    def __post_init__(self) -> None:
        """Put the parts together."""
        self.apis = Apis([self.product, api(name="other"), admin_api()])
        self.store = FakeStore(self.clock)
        self.mint = Mint(peppers=PEPPERS, new_id=ids(), choice=random.Random(1).choice)
        self.cache: CachedKeyStore = cache_over(self.store, self.apis, self.clock)
        self.find = FindBearer(self.cache, PEPPERS, self.apis, 1.0)
        self.administer = Administer(self.find, self.apis, self.clock)
        self.create_key = CreateKey(self.store, self.apis, self.mint, self.clock)

    async def populate(self) -> World:
        """Make the operators' organization and two customers."""
        for id_, name in ((OPERATORS_ID, OPERATORS), (ACME_ID, "acme"), (GLOBEX_ID, "globex")):
            new = NewOrganization(id=id_, name=name, plan=None, networks=None, metadata={})
            await self.store.create_organization(new, NOBODY)
        self.store.events.clear()
        return self

    async def key(self, **changes: Any) -> CreatedKey:
        """Make a key as if by an operator who may do everything."""
        return await self.create_key(self.boundless(), key_request(**changes))

    async def operator_key(self, *scopes: str, **changes: Any) -> CreatedKey:
        """Make a key of the administration itself."""
        fields = {"api": ADMIN_API, "organization_id": OPERATORS_ID, "environment": "", "scopes": scopes, **changes}
        return await self.key(**fields)

    async def as_administrator(self, made: CreatedKey, address: str | None = "192.0.2.1") -> Administrator:
        """Authenticate with a key."""
        return await self.administer(made.secret.reveal(), address)

    async def operator(self, *scopes: str) -> Administrator:
        """Return an operator with these scopes."""
        return await self.as_administrator(await self.operator_key(*scopes))

    async def product_administrator(self, **changes: Any) -> Administrator:
        """Return a key of the product that may manage keys."""
        scopes = changes.pop("scopes", ("keys:read", "keys:write", "things:read"))
        return await self.as_administrator(await self.key(scopes=scopes, **changes))

    def boundless(self) -> Administrator:
        """Return an operator with full access, whom nobody has made."""
        administration = self.apis.by_name[ADMIN_API]
        own = record(
            id="key_01J0000000000000000000000Z",
            api=ADMIN_API,
            organization_id=OPERATORS_ID,
            environment=None,
            scopes=tuple(administration.scopes),
            full_access=True,
        )
        return Administrator(api=administration, record=own, address="", as_of=None)

    def stored(self, made: CreatedKey) -> Key:
        """Return a key as it is stored now."""
        return self.store.keys[made.changed.value.record.id]
