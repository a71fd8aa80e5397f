"""The Check door without a listener."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.clock import DatabaseClock
from authsvc.config import load
from authsvc.domain.api import Api, Apis
from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import bearer_of
from authsvc.domain.hashing import Digest, Pepper, PepperSet
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.limits import LocalLimiter
from authsvc.ports import Head, KeyStore, Loaded
from authsvc.servicers.ext_authz import Check
from authsvc.servicers.method import Waiting
from authsvc.telemetry import CacheCounters, DecisionCounters
from authsvc.usecases.authorize import Authorize
from bench.figures import BenchError
from bench.request import allowed

CONFIG = Path(__file__).with_name("authsvc.yaml")
_REVISION = Revision(epoch="6f0c1f0e-0000-4000-8000-000000000000", seq=1)
_YEAR = 365 * 86_400 * 1_000_000
_LEASE = 3600  # seconds; nobody says meanwhile that the database is there


class _EveryKey:
    """A store in which every digest has a key of its own, of one of a hundred organizations."""

    def __init__(self, api: str) -> None:
        self._api = api
        self.of_others: dict[Digest, str] = {}  # the keys of other APIs

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        number = int.from_bytes(digests[0][:8], "big")
        record = KeyRecord(
            id=f"key_{number:026d}",
            api=self.of_others.get(digests[0], self._api),
            organization_id=f"org_{number % 100:026d}",
            organization_active=True,
            organization_networks=None,
            plan=None,
            kind="secret",
            environment="live",
            scopes=("sessions:read", "sessions:write"),
            full_access=False,
            origins=None,
            networks=None,
            limits=(),
            not_before=None,
            expires_at=time.time_ns() // 1000 + _YEAR,
            revoked_at=None,
            deleted_at=None,
            grace_ends_at=None,
            metadata={},
            assurance=None,
        )
        return Loaded(record=record, as_of=_REVISION)

    async def head(self) -> Head:
        return Head(revision=_REVISION, now=time.time_ns() // 1000)


class Door:
    """The Check door over keys in memory, or in the store that is given with where its changes end."""

    def __init__(
        self, config: Path = CONFIG, keys: int = 50_000, store: KeyStore | None = None, as_of: Revision = _REVISION
    ) -> None:
        self.apis: Apis = load(config).apis
        self.api = next(iter(self.apis.by_name.values()))
        self._every_key = _EveryKey(self.api.name)
        clock = DatabaseClock()
        settings = CacheSettings(keys=keys, max_staleness=_LEASE, max_age=_LEASE)
        self.cache = CachedKeyStore(
            store or self._every_key,
            lambda record, as_of: bearer_of(record, self.apis.by_name[record.api], as_of),
            clock,
            settings,
            CacheCounters(),
        )
        self.cache.confirm(as_of, clock.monotonic())
        self.pepper = Pepper("p1", secrets.token_bytes(32))
        self.authorize = Authorize(self.cache, Candidates(PepperSet(self.pepper, ()), ()), LocalLimiter(), clock)
        self.check = Check(self.apis, self.authorize, DecisionCounters("envoy"))

    def new_key(self, api: Api | None = None) -> str:
        """Return the text of a key that could exist, by default of the first API."""
        keys = (api or self.api).keys
        text = keys.generate(keys.classes[0], secrets.choice)
        if api is not None:
            self._every_key.of_others[self.pepper.digest(text)] = api.name
        return text

    async def warm(self, request: bytes) -> None:
        """Have the key of a request cached and its answer rendered."""
        for _ in range(5):  # a load that a busy machine made late is answered, and not kept
            answer = self.check.now(request)
            if not isinstance(answer, Waiting):
                break
            await self.check.later(answer, 1.0)
        if not isinstance(answer, bytes) or not allowed(answer):
            raise BenchError("the measured Check is not allowed")

    def warmed(self, requests: Iterable[bytes]) -> None:
        """Warm every request's key, and leave what was made out of garbage collection, as the service does."""

        async def all_of_them() -> None:
            for request in requests:
                await self.warm(request)

        asyncio.run(all_of_them())
        gc.collect()
        gc.freeze()


def per_call(call: Callable[[], object], seconds: float = 0.2) -> float:
    """Return the seconds of processor time one call takes: steadier than the clock on a shared machine."""
    count, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        for _ in range(200):
            call()
        count += 200
    return spent / count
