"""
The data plane put together from its real parts, except for the database: bytes in, messages out.

`door()` builds it, `Door.ask` calls `Check` directly, `serving()` puts it behind a real gRPC server.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.domain.api import Api, Apis, EnvironmentSource
from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import Bearer, bearer_of
from authsvc.domain.hashing import Digest, Pepper, PepperSet
from authsvc.domain.key_text import KeyClass, KeyTable
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.routes import RouteTable
from authsvc.limits import LocalLimiter
from authsvc.listeners import options, standard
from authsvc.listeners.fast import FastListener
from authsvc.ports import Head, Limiter, Loaded
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, CheckResponse
from authsvc.servicers.auth import AuthDoor, auth_methods
from authsvc.servicers.ext_authz import Check
from authsvc.servicers.method import Method, Refusal, Waiting
from authsvc.telemetry import CacheCounters, DecisionCounters, ListenerCounters
from authsvc.usecases.authorize import Authorize
from tests.support.builders import NOW, PUBLISHABLE, REVISION, SECRET, api, key_class, record, route

PEPPER_SECRET = b"a-pepper-that-no-answer-may-hold-"
PEPPER = Pepper("p1", PEPPER_SECRET)
CHECK = Check.path
AUTHENTICATE, AUTHORIZE, BATCH = (
    f"/authsvc.v1.AuthService/{name}" for name in ("Authenticate", "Authorize", "BatchAuthorize")
)
LISTENERS = ("standard", "fast")
LISTENER = "standard"  # the fixture `listener` changes it
TIMEOUT = 10.0  # seconds; far more than any answer here takes
OK, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 0, 3, 7, 8, 14, 16

Pairs = Iterable[tuple[str, str | bytes]]


def new_key(of: KeyClass | None = None, seed: int = 0) -> str:
    """Return a well-formed key; the same one for the same seed."""
    wanted = of or key_class()
    return KeyTable([wanted]).generate(wanted, random.Random(seed).choice)


KEY = new_key(seed=1)
# The usual product on a host that needs no environment, so that a request has to state little.
SHOP = api(environment_source=EnvironmentSource.NONE)
ROUTED = replace(
    SHOP,
    routes=RouteTable(
        [
            route(),
            route(method="POST", scopes=("things:create",), preflight=True),
            route(method="DELETE", scopes=("things:write",)),
            route(path="/health", scopes=(), public=True),
        ]
    ),
)
BROWSER = replace(
    ROUTED,
    kinds={"secret": SECRET, "publishable": replace(PUBLISHABLE, ceiling=frozenset({"things:create"}))},
)
# A machine busy with other tests must not turn an answer into a late one.
PATIENT = CacheSettings(load_budget=TIMEOUT)


class FakeStore:
    """Key records by digest; it can count, stall and fail."""

    def __init__(self) -> None:
        self.records: dict[Digest, KeyRecord] = {}
        self.loads = 0
        self.fault: BaseException | None = None
        self.open = asyncio.Event()  # loads wait until it is set
        self.open.set()
        self.waiting = 0

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return what is stored under any of the digests."""
        self.loads += 1
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if self.fault is not None:
            raise self.fault
        found = next((self.records[digest] for digest in digests if digest in self.records), None)
        return Loaded(record=found, as_of=REVISION)

    async def head(self) -> Head:
        """Return the end of the change log."""
        return Head(revision=REVISION, now=NOW)


class FakeClock:
    """A time of day that stands still, and a monotonic clock that does not."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None

    def now(self) -> Micros:
        """Return 2030."""
        if self.fault is not None:
            raise self.fault
        return NOW

    def monotonic(self) -> float:
        """Return real seconds: waiting is real."""
        return time.monotonic()


@dataclass
class Door:
    """The data plane's parts."""

    apis: Apis
    store: FakeStore
    cache: CachedKeyStore
    limiter: Limiter
    clock: FakeClock
    authorize: Authorize
    check: Check
    methods: tuple[Method[Any], ...]
    calls: ListenerCounters = field(default_factory=ListenerCounters)
    envoy: DecisionCounters = field(default_factory=lambda: DecisionCounters("envoy"))
    rpc: DecisionCounters = field(default_factory=lambda: DecisionCounters("grpc"))
    cached: CacheCounters = field(default_factory=CacheCounters)

    def store_key(self, key: str, of: KeyRecord) -> None:
        """Store a record under a key."""
        self.store.records[PEPPER.digest(key)] = of

    async def answer(self, payload: bytes, budget: float = 1.0) -> bytes:
        """Put a Check's bytes to the method itself, as a listener does."""
        answer = self.check.now(payload)
        answer = await self.check.later(answer, budget) if isinstance(answer, Waiting) else answer
        assert not isinstance(answer, Refusal)
        return answer

    async def ask(self, **request: Any) -> Answer:
        """Put one request to the method itself."""
        return Answer.of(await self.answer(check_request(**request).SerializeToString()))


def door(
    keys: Mapping[str, KeyRecord] | None = None,
    *apis: Api,
    settings: CacheSettings | None = None,
    limiter: Limiter | None = None,
) -> Door:
    """Build a data plane that knows `keys` (by default `KEY`) and is in touch with its database."""
    store, clock, cached, envoy = FakeStore(), FakeClock(), CacheCounters(), DecisionCounters("envoy")
    known = Apis(apis or (SHOP,))

    def bearer_for(found: KeyRecord, as_of: Revision) -> Bearer | None:
        of = known.by_name.get(found.api)
        return None if of is None else bearer_of(found, of, as_of)

    cache = CachedKeyStore(store, bearer_for, clock, settings or PATIENT, cached)
    cache.confirm(REVISION, clock.monotonic())
    counted = limiter or LocalLimiter()
    authorize = Authorize(cache, Candidates(PepperSet(PEPPER, ()), ()), counted, clock)
    check = Check(known, authorize, envoy)
    rpc = DecisionCounters("grpc")
    methods = (check, *auth_methods(AuthDoor(known, authorize, rpc, lambda: False)))
    built = Door(known, store, cache, counted, clock, authorize, check, methods, envoy=envoy, rpc=rpc, cached=cached)
    for key, of in ({KEY: record()} if keys is None else keys).items():
        built.store_key(key, of)
    return built


def check_request(
    *,
    method: str = "GET",
    path: str = "/v1/things",
    host: str = "api.shop.example",
    headers: Mapping[str, str] | Pairs = (),
    key: str | None = None,
    peer: str | None = "192.0.2.1",
    extensions: Mapping[str, str] | None = None,
    raw: bool = False,
) -> CheckRequest:
    """
    Return what Envoy sends for one HTTP request; `key` is presented as a bearer token.

    With `raw` the headers are sent as `encode_raw_headers` sends them: repeated and in order.
    """
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host, http.scheme, http.protocol = method, path, host, "https", "HTTP/1.1"
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if key is not None:
        pairs.append(("authorization", f"Bearer {key}"))
    pairs = [(":method", method), (":path", path), (":authority", host), *pairs]
    for name, value in pairs:
        if raw:
            value_bytes = value if isinstance(value, bytes) else value.encode()
            http.header_map.headers.add(key=name, raw_value=value_bytes)
        else:
            assert isinstance(value, str)
            # Envoy joins what a client repeats.
            http.headers[name] = f"{http.headers[name]},{value}" if name in http.headers else value
    if peer is not None:
        request.attributes.source.address.socket_address.address = peer
        request.attributes.source.address.socket_address.port_value = 4711
    request.attributes.context_extensions.update({"api": "shop"} if extensions is None else extensions)
    return request


@dataclass(frozen=True)
class Answer:
    """A CheckResponse as Envoy reads it."""

    message: CheckResponse

    @classmethod
    def of(cls, payload: bytes) -> Answer:
        """Parse one."""
        return cls(CheckResponse.FromString(payload))

    @property
    def allowed(self) -> bool:
        """Whether Envoy would let the request pass; it looks at nothing else."""
        return self.message.status.code == OK

    @property
    def code(self) -> int:
        """Return the google.rpc.Code."""
        return self.message.status.code

    @property
    def status(self) -> int:
        """Return the HTTP status of a denial."""
        return self.message.denied_response.status.code

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the dynamic metadata."""
        return MessageToDict(self.message.dynamic_metadata)

    @property
    def reason(self) -> str:
        """Return the reason, `ok` for an allow."""
        reason: str = self.metadata["reason"]
        return reason

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that are set, on the request of an allow or the response of a denial."""
        response = self.message.ok_response if self.allowed else self.message.denied_response
        return {option.header.key: option.header.value for option in response.headers}

    @property
    def removed(self) -> list[str]:
        """Return the names of the request headers that are removed."""
        return list(self.message.ok_response.headers_to_remove)

    @property
    def body(self) -> str:
        """Return the body of a denial."""
        return self.message.denied_response.body

    @property
    def outcome(self) -> tuple[int, int, str]:
        """Return code, HTTP status (0 for an allow) and reason."""
        return self.code, self.status, self.reason


ALLOWED = (OK, 0, "ok")
UNAUTHORIZED = (UNAUTHENTICATED, 401, "unauthorized")
INVALID_KEY = (UNAUTHENTICATED, 401, "invalid_key")
NO_ROUTE = (PERMISSION_DENIED, 403, "route_not_configured")
BAD_REQUEST = (INVALID_ARGUMENT, 400, "bad_request")
UNDECIDED = (UNAVAILABLE, 503, "unavailable")


@dataclass
class Served:
    """A running server and a client of it."""

    address: str
    channel: grpc.aio.Channel

    async def call(self, path: str, payload: bytes, within: float | None = TIMEOUT, **options: Any) -> bytes:
        """Call a method with raw bytes. Raises `grpc.aio.AioRpcError`."""
        answer: bytes = await self.channel.unary_unary(path)(payload, timeout=within, **options)
        return answer

    async def check(self, payload: bytes, within: float | None = TIMEOUT) -> Answer:
        """Call Check; the RPC must succeed."""
        return Answer.of(await self.call(CHECK, payload, within))

    async def ask(self, **request: Any) -> Answer:
        """Ask about one HTTP request."""
        return await self.check(check_request(**request).SerializeToString())


@asynccontextmanager
async def serving(
    of: Door,
    *,
    credentials: grpc.ServerCredentials | None = None,
    admits: standard.PeerCheck | None = None,
    bounds: options.Bounds = options.DATA,
) -> AsyncIterator[Served]:
    """Serve on a free port of the loopback, by the listener that `LISTENER` names; the client is for plaintext only."""
    server: grpc.aio.Server | FastListener
    if LISTENER == "fast":
        server = FastListener("127.0.0.1:0", of.methods, of.methods, of.calls)
        server.start()
        address, stop = server.address, server.close(0)
    else:
        server = standard.new_server(bounds)
        standard.add_methods(server, of.methods, of.calls, admits)
        address = standard.bind(server, "127.0.0.1:0", credentials)
        await server.start()
        stop = server.stop(None)
    try:
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield Served(address, channel)
    finally:
        await stop


async def until(condition: Any, seconds: float = TIMEOUT) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is nobody's event
            await asyncio.sleep(0)
