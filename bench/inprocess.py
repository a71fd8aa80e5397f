"""What needs no network: request bytes to answer bytes, and the memory a cached key takes."""

from __future__ import annotations

import asyncio
import gc
import secrets
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
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
from authsvc.ports import Head, Loaded
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from authsvc.servicers.ext_authz import Check
from authsvc.servicers.method import Waiting
from authsvc.telemetry import CacheCounters, DecisionCounters
from authsvc.usecases.authorize import Authorize
from bench.load import BenchError
from bench.request import allowed, check_request

HERE = Path(__file__).parent
_REVISION = Revision(epoch="6f0c1f0e-0000-4000-8000-000000000000", seq=1)
_YEAR = 365 * 86_400 * 1_000_000


class _Store:
    """Every digest has a key of its own, of one of a hundred organizations."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        number = int.from_bytes(digests[0][:8], "big")
        record = KeyRecord(
            id=f"key_{number:026d}",
            api=self._api.name,
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
        )
        return Loaded(record=record, as_of=_REVISION)

    async def head(self) -> Head:
        return Head(revision=_REVISION, now=time.time_ns() // 1000)


class Door:
    """The Check door over keys in memory."""

    def __init__(self, config: Path, keys: int = 50_000, buckets: int = 200_000) -> None:
        self.apis: Apis = load(config).apis
        self.api = next(iter(self.apis.by_name.values()))
        clock = DatabaseClock()
        settings = CacheSettings(keys=keys, max_staleness=300)
        self.cache = CachedKeyStore(
            _Store(self.api), lambda record, as_of: bearer_of(record, self.api, as_of), clock, settings, CacheCounters()
        )
        self.cache.confirm(_REVISION, clock.monotonic())
        peppers = PepperSet(Pepper("p1", secrets.token_bytes(32)), ())
        self.authorize = Authorize(self.cache, Candidates(peppers, ()), LocalLimiter(buckets), clock)
        self.check = Check(self.apis, self.authorize, DecisionCounters("envoy"))

    def new_key(self) -> str:
        """Return the text of a key that could exist."""
        return self.api.keys.generate(self.api.keys.classes[0], secrets.choice)

    async def warm(self, request: bytes) -> None:
        """Have the key of a request cached and its answer rendered."""
        for _ in range(5):  # a load that a busy machine made late is answered, and not kept
            answer = self.check.now(request)
            if not isinstance(answer, Waiting):
                break
            await self.check.later(answer, 1.0)
        if not isinstance(answer, bytes) or not allowed(answer):
            raise BenchError("the measured Check is not allowed")


def per_call(call: Callable[[], object], seconds: float = 0.2) -> float:
    """Return the seconds of processor time one call takes: steadier than the clock on a shared machine."""
    count, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        for _ in range(200):
            call()
        count += 200
    return spent / count


def bytes_to_bytes(config: Path, rounds: int) -> dict[str, float]:
    """Return the medians, in microseconds, of the whole way and of the bare parse, interleaved."""
    door = Door(config)
    request = check_request(door.new_key(), door.api.name)
    asyncio.run(door.warm(request))
    parse, whole = [], []
    for _ in range(rounds):
        parse.append(per_call(lambda: CheckRequest.FromString(request)))
        whole.append(per_call(lambda: door.check.now(request)))
    bare, full = statistics.median(parse) * 1e6, statistics.median(whole) * 1e6
    return {"parse_us": bare, "bytes_to_bytes_us": full, "ratio": full / bare}


def memory_per_key(config: Path, keys: int = 10_000) -> float:
    """Return the bytes a cached key takes, its index entries and its part of the answers included."""
    door = Door(config, keys=keys + 1, buckets=1)  # what the limiter remembers is not the cache's
    requests = [check_request(door.new_key(), door.api.name) for _ in range(keys + 1)]

    async def fill() -> float:
        await door.warm(requests[0])
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for request in requests[1:]:
            await door.warm(request)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return used / keys

    return asyncio.run(fill())
