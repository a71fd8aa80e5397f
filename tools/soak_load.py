"""The load of `make soak`: what callers, strangers and administrators do, and what they must be told."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, RevokeKeyRequest
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

from tests.support import service
from tests.support.doors import ALLOWED, CHECK, INVALID_KEY, UNDECIDED, Answer, check_request
from tests.support.service import Service

TIMEOUT = 10.0  # seconds
_PAUSE = 0.002  # between two questions of one client
_ADMIN_PAUSE = 1.0  # between two keys: what is remembered of a revoked one fills its tables for hours
# Turns between two calls that are given up. Each leaves 100 bytes in grpc.aio for good (grpc/grpc#43360, open as of
# 1.85.3), which would hide what we leave behind.
GIVES_UP_EVERY = {"standard": 25, "fast": 1}
SCOPE, LIMITED = (7, 403, "insufficient_scope"), (8, 429, "rate_limited")
# A load that a busy machine does not end within its budget is a denial, never an error.
EXPECTED: dict[str, set[object]] = {
    "hit": {ALLOWED},
    "checksum": {INVALID_KEY},
    "revoked": {INVALID_KEY, UNDECIDED},
    "scope": {SCOPE},
    "limited": {ALLOWED, LIMITED},
    "miss": {INVALID_KEY, UNDECIDED},
    "new": {ALLOWED, UNDECIDED},
    "revoked just now": {INVALID_KEY, UNDECIDED},
}
Ask = Callable[[str, bytes], None]


def question(key: str, method: str = "GET", **headers: str) -> bytes:
    """Return a Check about the demo's orders."""
    told = {"x-api-key": key, **headers}
    return check_request(method=method, path="/v1/orders", headers=told, extensions={"api": "shop"}).SerializeToString()


class Load:
    """Clients of both listeners and an administrator, each a thread, until the block of `running` ends."""

    def __init__(self, served: Service) -> None:
        self.told: Counter[tuple[str, object]] = Counter()
        self._served = served
        self._over = threading.Event()
        self._counting = threading.Lock()

    @property
    def wrong(self) -> dict[tuple[str, object], int]:
        """Return what nobody should have been told, with how often."""
        return {which: count for which, count in self.told.items() if which[1] not in EXPECTED[which[0]]}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep it up."""
        clients = [threading.Thread(target=self._ask, args=of) for of in self._served.targets.items()]
        clients.append(threading.Thread(target=self._administer))
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._over.set()
            for client in clients:
                client.join()

    def _ask(self, listener: str, target: str) -> None:
        gives_up_every = GIVES_UP_EVERY[listener]
        keys = self._served.keys
        known = {
            "checksum": question("shop_" + "0" * 38),
            "revoked": question(keys.revoked),
            "scope": question(keys.reader, "POST"),
            "limited": question(keys.page, origin="https://shop.example"),
        }
        hits = [question(keys.reader), question(keys.writer)]
        with grpc.insecure_channel(target) as channel:
            ask = self._asking(channel)
            call = channel.unary_unary(CHECK)
            for turn in itertools.count():
                for payload in hits * 5:
                    ask("hit", payload)
                for what, payload in known.items():
                    ask(what, payload)
                if turn % 5 == 0:
                    ask("miss", service.unknown())
                times, rest = divmod(turn, gives_up_every)
                if not rest:
                    # One whose caller leaves at once, known or not.
                    call.future(hits[0] if times % 5 else service.unknown(), timeout=TIMEOUT).cancel()
                if self._over.wait(_PAUSE):
                    return

    def _administer(self) -> None:
        metadata = (("authorization", f"Bearer {self._served.admin_key}"),)
        with (
            grpc.insecure_channel(self._served.admin) as admin,
            grpc.insecure_channel(self._served.targets["standard"]) as standard,
            grpc.insecure_channel(self._served.targets["fast"]) as fast,
        ):
            keys = KeyServiceStub(admin)
            request = CreateOrganizationRequest(name="soak")
            made = OrganizationServiceStub(admin).CreateOrganization(request, metadata=metadata, timeout=TIMEOUT)
            wanted = CreateKeyRequest(
                api="shop", organization_id=made.organization.id, name="soak", scopes=["orders:read"]
            )
            asks = [self._asking(channel) for channel in (standard, fast)]
            while not self._over.wait(_ADMIN_PAUSE):
                key = keys.CreateKey(wanted, metadata=metadata, timeout=TIMEOUT)
                for ask in asks:
                    ask("new", question(key.secret))
                revoke = RevokeKeyRequest(id=key.key.id, reason="soak")
                keys.RevokeKey(revoke, metadata=metadata, timeout=TIMEOUT)
                for ask in asks:
                    ask("revoked just now", question(key.secret))

    def _asking(self, channel: grpc.Channel) -> Ask:
        call = channel.unary_unary(CHECK)

        def ask(what: str, payload: bytes) -> None:
            try:
                outcome: object = Answer.of(call(payload, timeout=TIMEOUT)).outcome
            except grpc.RpcError as error:
                outcome = error.code()  # type: ignore[attr-defined]
            with self._counting:
                self.told[what, outcome] += 1

        return ask
