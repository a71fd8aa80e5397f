"""
A product without Envoy, process or database, for running a table against hundreds of configurations.

Keys are made by the use case that makes real ones, requests are decided by the door that Envoy knocks
at. What Envoy adds is added as the example's envoy.yaml says: the virtual host's context extensions and
the peer's address in `x-forwarded-for`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API, Actor
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, Apis
from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import Deny
from authsvc.domain.errors import AuthsvcError
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.issuing import Wanted
from authsvc.domain.network import Network, parse_network
from authsvc.domain.reasons import Reason
from authsvc.limits import LocalLimiter
from authsvc.ports import NewOrganization
from authsvc.servicers import envoy_wire
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, CheckResponse
from authsvc.servicers.ext_authz import Check
from authsvc.servicers.method import Waiting
from authsvc.telemetry import DecisionCounters
from authsvc.usecases.authorize import Authorize
from authsvc.usecases.create_key import CreateKey, KeyRequest, Mint
from tests.support.builders import record, verdict
from tests.support.fakes import PEPPERS, FakeClock, FakeStore, cache_over
from tests.support.products import Facts
from tests.support.stack import Answer, Headers
from tests.support.tables import Table

PEER = "127.0.0.1"
NOBODY = Actor(key_id="test", organization_id="", address="", request_id="")
# What a table says of a key that is no part of its terms, or is read in another way.
_NOT_WANTED = frozenset({"stored", "revoked", "text", "networks", "preset"})
Extensions = Mapping[str, Mapping[str, str]]  # by host; `*` for any


class InProcess:
    """One product; a place for tables."""

    def __init__(self, api: Api, facts: Facts, extensions: Extensions) -> None:
        self._api = api
        self._facts = facts
        self._extensions = extensions
        self._loop = asyncio.new_event_loop()
        administration = admin_api()
        apis, clock = Apis([api, administration]), FakeClock()
        self._store = FakeStore(clock)
        self._ids = (f"{number:026}" for number in itertools.count(1))
        mint = Mint(peppers=PEPPERS, new_id=lambda: next(self._ids), choice=random.Random(1).choice)
        self._create_key = CreateKey(self._store, apis, mint, clock)
        limiter = LocalLimiter(now=lambda: 0)
        candidates = Candidates(PEPPERS, apis.by_name.values())
        authorize = Authorize(cache_over(self._store, apis, clock), candidates, limiter, clock)
        self._check = Check(Apis([api]), authorize, DecisionCounters("envoy"))
        own = record(api=ADMIN_API, environment=None, full_access=True)
        self._operator = Administrator(api=administration, record=own, address="", as_of=None)

    def close(self) -> None:
        """Close the event loop."""
        self._loop.close()

    def make_organization(self, wanted: Mapping[str, Any]) -> str:
        """Make an organization: plan, networks, suspended."""
        id_ = f"org_{next(self._ids)}"
        new = NewOrganization(
            id=id_, name=id_, plan=wanted.get("plan"), networks=_networks(wanted.get("networks")), metadata={}
        )
        self._run(self._store.create_organization(new, NOBODY))
        if wanted.get("suspended"):
            self._run(self._store.suspend_organization(id_, "", NOBODY))
        return id_

    def make_key(self, organization_id: str, wanted: Mapping[str, Any]) -> str | None:
        """Make a key; None when that is refused."""
        request = KeyRequest(
            api=self._api.name,
            organization_id=organization_id,
            wanted=self._wanted(wanted),
            request_id="",
            preset=wanted.get("preset", ""),
        )
        try:
            made = self._run(self._create_key(self._operator, request))
        except AuthsvcError:
            return None
        key_id = made.changed.value.record.id
        if "stored" in wanted:
            stored = {
                name: tuple(value) if isinstance(value, list) else value for name, value in wanted["stored"].items()
            }
            self._store.alter_key(key_id, **stored)
        if wanted.get("revoked"):
            self._store.alter_key(key_id, revoked_at=1)
        if "text" in wanted:
            self._store.digests[PEPPERS.current.digest(wanted["text"])] = key_id
            return str(wanted["text"])
        text: str = made.secret.reveal()
        return text

    def ask(self, method: str, target: str, key: str | None, environment: str | None, headers: Headers) -> Answer:
        """Decide about a request; what is allowed is answered as the echoing upstream would."""
        host = self._facts.hosts[next(iter(self._facts.hosts)) if environment is None else environment]
        given = [(name.lower(), value) for name, value in headers]
        if key is not None:
            given.append(("authorization", f"Bearer {key}") if self._facts.bearer else ("x-api-key", key))
        sent: dict[str, str] = {}
        for name, value in given:
            sent[name] = f"{sent[name]},{value}" if name in sent else value
        sent["x-forwarded-for"] = f"{sent['x-forwarded-for']},{PEER}" if "x-forwarded-for" in sent else PEER
        request = CheckRequest()
        request.attributes.source.address.socket_address.address = PEER
        request.attributes.context_extensions.update(self._extensions.get(host) or self._extensions.get("*") or {})
        http = request.attributes.request.http
        http.method, http.path, http.host = method, target, host
        http.headers.update(sent)
        answer = self._check.now(request.SerializeToString())
        if isinstance(answer, Waiting):
            answer = self._run(self._check.later(answer, 1.0))
        return _answer(CheckResponse.FromString(answer), sent)

    def _wanted(self, wanted: Mapping[str, Any]) -> Wanted:
        networks = wanted.get("networks")
        plain = Wanted(
            name="table",
            metadata={},
            kind="",
            environment=next(iter(self._facts.hosts)),
            scopes=(),
            full_access=False,
            origins=None,
            networks=None if networks is None else WantedNetworks(cidrs=tuple(networks), allow_any=False),
            rate_limits=(),
            not_before=None,
            expires_at=None,
        )
        own = {name: value for name, value in wanted.items() if name not in _NOT_WANTED}
        return replace(
            plain, **{name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
        )

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)


def disagreements(table: Table, api: Api) -> Iterator[str]:
    """Yield what an API says otherwise than its table, of what no request can bring about at will."""
    imports = [digest for row in api.keys.classes for digest in row.imports]
    if imports != list(table.imports):
        yield f"imports: {imports}"
    rotation = {"grace": api.grace // 1_000_000, "max_grace": api.max_grace // 1_000_000}
    if table.rotation and rotation != dict(table.rotation):
        yield f"rotation: {rotation}"
    limited = verdict(allowed=False, retry_ns=7_000_000_000)
    for name, body in table.bodies.items():
        reason = Reason(name)
        refusal = Deny(
            reason=reason,
            detail="",
            required_scope="webhooks:write" if reason is Reason.INSUFFICIENT_SCOPE else None,
            verdicts=(limited,) if reason is Reason.RATE_LIMITED else (),
        )
        answer = CheckResponse.FromString(envoy_wire.deny(api, refusal, None, "0" * 24, origin=None, grpc=False))
        if answer.denied_response.body != body:
            yield f"{name}: {answer.denied_response.body}"


def _answer(response: CheckResponse, sent: Mapping[str, str]) -> Answer:
    if response.status.code != 0:
        denied = response.denied_response
        headers = {option.header.key: option.header.value for option in denied.headers}
        return Answer(denied.status.code, headers, denied.body.encode())
    allowed = response.ok_response
    received = dict(sent) | {option.header.key: option.header.value for option in allowed.headers}
    for name in allowed.headers_to_remove:
        received.pop(name, None)
    headers = {option.header.key: option.header.value for option in allowed.response_headers_to_add}
    return Answer(200, headers, json.dumps({"headers": received}).encode())


def _networks(texts: list[str] | None) -> tuple[Network, ...] | None:
    if texts is None:
        return None
    return tuple(network for text in texts if (network := parse_network(text)) is not None)
