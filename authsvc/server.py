"""The composition root: builds the service from its parts, runs it, drains it. No logic of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.clock import DatabaseClock
from authsvc.config import Address, Config, Listener, Settings, admin_api, check_plaintext, peppers, read_token
from authsvc.domain.api import Api, Apis
from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import Bearer, bearer_of
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import PepperSet
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.heartbeat import Heartbeat
from authsvc.housekeeping import Housekeeping
from authsvc.limits import LocalLimiter
from authsvc.listeners import options, sockets, standard
from authsvc.listeners.fast import FastListener
from authsvc.listeners.standard import PeerCheck
from authsvc.listeners.tls import TlsFiles, named_peers, server_credentials
from authsvc.refusals import Refusals
from authsvc.rehash import RehashingStore
from authsvc.servicers.administration import add_admin_services, admin_services, new_id
from authsvc.servicers.auth import AuthDoor, auth_methods
from authsvc.servicers.ext_authz import Check
from authsvc.servicers.health import Health, HealthCheck
from authsvc.servicers.method import Method
from authsvc.stores import schema
from authsvc.stores.lock import single_process
from authsvc.stores.sql import SqlStore
from authsvc.telemetry import (
    AuditCounters,
    CacheCounters,
    DecisionCounters,
    ImportCounters,
    ListenerCounters,
    RehashCounters,
    UsageCounters,
    metrics,
)
from authsvc.telemetry.exporters import Metrics
from authsvc.usage.flusher import Flusher
from authsvc.usage.recorder import Recorder
from authsvc.usecases.authorize import Authorize

_LOG = logging.getLogger(__name__)

# Seconds.
STALE_AFTER = 3.0  # without a word of the database answers say that they are stale
CLOSE_WITHIN = 10.0  # for calls in flight; with the drain before it less than the 30 that Kubernetes waits
CLOSE_FAST_WITHIN = 2.0  # no call of the fast listener takes longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where a service listens, with the real ports."""

    data: str
    fast: str
    admin: str
    metrics: str


@dataclass(slots=True, kw_only=True)
class Parts:
    """What the doors share."""

    apis: Apis
    admin_api: Api
    pepper_set: PepperSet
    store: SqlStore
    cache: CachedKeyStore
    clock: DatabaseClock
    limiter: LocalLimiter
    authorize: Authorize
    usage: Recorder
    flusher: Flusher
    refusals: Refusals
    audit: AuditCounters
    rehash: RehashingStore
    housekeeping: Housekeeping

    def stale(self) -> bool:
        """Whether the database has been silent for long enough to say so."""
        return self.cache.staleness > STALE_AFTER


def database_url(settings: Settings) -> str:
    """Return the URL of the database to serve from; the embedded one must have been made."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    if not settings.embedded_database.exists():
        raise StartupError(f"{settings.embedded_database}: there is no database yet; run `authsvc init`")
    return f"sqlite:///{settings.embedded_database.absolute()}"


async def serve(config: Config, settings: Settings, started: Callable[[Running], None], drain: float) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises `StartupError` when it cannot start."""
    check_plaintext(settings, config)
    async with AsyncExitStack() as stack:
        claims = stack.enter_context(ExitStack())
        url = database_url(settings)
        if url.startswith("sqlite:///"):
            stack.enter_context(single_process(Path(url.removeprefix("sqlite:///"))))
        exported = stack.enter_context(_metrics(settings.metrics_listen))
        parts = _parts(config, settings, url, exported)
        stack.push_async_callback(parts.store.close)
        health = Health()
        heartbeat = _heartbeat(parts, health)
        await health.start()
        await heartbeat.first()
        await stack.enter_async_context(parts.flusher.running())
        await stack.enter_async_context(parts.refusals.running())
        await stack.enter_async_context(parts.rehash.running())
        await stack.enter_async_context(parts.housekeeping.running())
        data = _data_plane(config, settings, parts, health, exported, claims)
        admin, admin_address = _admin_server(config, settings, parts, exported)
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await data.server.start()
        await admin.start()
        if data.fast is not None:
            data.fast.start()
        keeping = [asyncio.create_task(work) for work in (heartbeat.run(), parts.cache.keep_fresh())]
        _spare_the_collector()
        started(Running(data=data.address, fast=data.fast_address, admin=admin_address, metrics=exported.address))
        try:
            await stop.wait()
        finally:
            await _drain(health, (admin, data.server), data.fast, drain)
            for task in keeping:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def _spare_the_collector() -> None:
    """
    Leave everything made so far out of garbage collection, and collect less often.

    A request makes objects that die with it and no cycles; looking through all modules for garbage
    every few thousand requests costs more than the requests (bench: `python -m bench`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _metrics(address: Address | None) -> Metrics:
    return Metrics(None, 0) if address is None else Metrics(address.host, address.port)


def _parts(config: Config, settings: Settings, url: str, exported: Metrics) -> Parts:
    clock, limiter = DatabaseClock(), LocalLimiter()
    pepper_set, administration = peppers.read(settings.pepper_file), admin_api()
    store = SqlStore.open(url, pepper_set)
    apis = {**config.apis.by_name, administration.name: administration}

    def bearer_for(record: KeyRecord, as_of: Revision) -> Bearer | None:
        api = apis.get(record.api)
        return None if api is None else bearer_of(record, api, as_of)

    counters, rehashed = CacheCounters(metrics.load_histogram(exported.meter)), RehashCounters()
    rehash = RehashingStore(store, pepper_set, rehashed)
    metrics.observe_rehash(exported.meter, rehashed, rehash.__len__)
    cache = CachedKeyStore(rehash, bearer_for, clock, _cache_settings(config), counters)
    metrics.observe_cache(exported.meter, counters, cache.__len__, lambda: cache.staleness)
    used = UsageCounters()
    recorder = Recorder(clock.now, used)
    metrics.observe_usage(exported.meter, used, recorder.__len__)
    audit = AuditCounters()
    metrics.observe_audit(exported.meter, audit)
    return Parts(
        apis=config.apis,
        admin_api=administration,
        pepper_set=pepper_set,
        store=store,
        cache=cache,
        clock=clock,
        limiter=limiter,
        authorize=Authorize(cache, Candidates(pepper_set, apis.values()), limiter, clock),
        usage=recorder,
        flusher=Flusher(recorder, store, clock, new_id, used),
        refusals=Refusals(store, clock.monotonic, audit),
        audit=audit,
        rehash=rehash,
        housekeeping=Housekeeping(store),
    )


def _cache_settings(config: Config) -> CacheSettings:
    return CacheSettings(
        max_staleness=config.cache.max_staleness,
        max_age=config.cache.max_age,
        negative_age=config.cache.negative_age,
        keys=config.cache.keys,
        negatives=config.cache.negatives,
    )


def _heartbeat(parts: Parts, health: Health) -> Heartbeat:
    async def admit() -> None:
        await schema.require(parts.store.database)
        await parts.store.verify_peppers(parts.pepper_set)

    async def told(answers: bool) -> None:  # noqa: FBT001 - the callback's only argument
        await health.database(answers=answers)

    return Heartbeat(parts.store, parts.cache, parts.clock, admit, told)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DataPlane:
    """What answers Envoy and backends."""

    server: grpc.aio.Server
    address: str
    fast: FastListener | None
    fast_address: str


def _data_plane(
    config: Config, settings: Settings, parts: Parts, health: Health, exported: Metrics, stack: ExitStack
) -> _DataPlane:
    methods, decisions = _methods(parts)
    calls = {"standard": ListenerCounters()}
    server = standard.new_server(options.DATA)
    standard.add_methods(server, methods, calls["standard"], _peer_check(config.data))
    health.register(server)
    address = standard.bind(server, str(settings.listen), _credentials(config.data))
    fast, fast_address = None, "off"
    if (at := settings.fast_listen) is not None:
        here, more = _methods(parts)
        calls["fast"], decisions, asked = ListenerCounters(), (*decisions, *more), HealthCheck(health)
        stack.enter_context(sockets.claimed(path=at.path, host=at.host, port=at.port))
        token = None if settings.fast_token_file is None else read_token(settings.fast_token_file)
        fast = FastListener(str(at), (*here, asked), (*methods, asked), calls["fast"], token=token)
        fast_address = fast.address
    metrics.observe_decisions(exported.meter, decisions)
    metrics.observe_listeners(exported.meter, calls)
    return _DataPlane(server=server, address=address, fast=fast, fast_address=fast_address)


def _methods(parts: Parts) -> tuple[tuple[Method[Any], ...], tuple[DecisionCounters, ...]]:
    """Return the data plane's methods for one thread, with what they count."""
    envoy, rpc = DecisionCounters("envoy"), DecisionCounters("grpc")
    door = AuthDoor(parts.apis, parts.authorize, rpc, parts.stale, parts.usage.record)
    return (Check(parts.apis, parts.authorize, envoy, parts.usage.record), *auth_methods(door)), (envoy, rpc)


def _admin_server(config: Config, settings: Settings, parts: Parts, exported: Metrics) -> tuple[grpc.aio.Server, str]:
    imported = ImportCounters()
    metrics.observe_imports(exported.meter, imported)
    services = admin_services(
        registry=parts.store,
        usage=parts.store,
        audit=parts.store,
        imports=parts.store,
        cache=parts.cache,
        peppers=parts.pepper_set,
        apis=Apis([*parts.apis.by_name.values(), parts.admin_api]),
        limiter=parts.limiter,
        clock=parts.clock,
        stale=parts.stale,
        admits=_peer_check(config.admin),
        record=parts.usage.record,
        note=parts.refusals.note,
        counters=parts.audit,
        imported=imported,
    )
    server = standard.new_server(options.ADMIN, (services.access,))
    add_admin_services(server, services)
    return server, standard.bind(server, str(settings.admin_listen), _credentials(config.admin))


def _credentials(listener: Listener) -> grpc.ServerCredentials | None:
    tls = listener.tls
    if tls is None:
        return None
    files = TlsFiles(certificate=tls.certificate, key=tls.key, client_ca=tls.client_ca, reload_seconds=tls.reload)
    return server_credentials(files)


def _peer_check(listener: Listener) -> PeerCheck | None:
    return named_peers(listener.tls.clients) if listener.tls is not None and listener.tls.clients else None


async def _drain(
    health: Health, servers: tuple[grpc.aio.Server, ...], fast: FastListener | None, serve_on: float
) -> None:
    _LOG.info("draining")
    await health.drain()
    await asyncio.sleep(serve_on)
    await asyncio.gather(*(server.stop(CLOSE_WITHIN) for server in servers))
    if fast is not None:
        # Last: it tells nobody that it goes, so it answers for as long as somebody may still ask.
        await fast.close(CLOSE_FAST_WITHIN)
    _LOG.info("stopped")
