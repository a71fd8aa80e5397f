"""
A product's contract as a table: keys to make, requests to send, what each is answered.

A table runs anywhere that makes organizations and keys and answers requests (`Place`): behind a real
Envoy, and in process, where `tools/mutate.py` runs it against configurations that lack a line.

    insufficient_scope: '…{scope}…'   # the 403 of a missing scope
    routes:                           # by scope, the requests that it, and nothing but it, lets through
    bodies:                           # by reason, the exact refusal
    imports, rotation:                # as configured; seconds
    organizations, keys:              # by name; made when a request first needs them
    refused:                          # keys that cannot be made
    requests:

An expected text that begins with `~` is a regular expression, and None means absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.support.stack import Answer, Headers

FOLDER = Path(__file__).parents[1] / "conformance"


class Place(Protocol):
    """Where a table runs."""

    def make_organization(self, wanted: Mapping[str, Any]) -> str:
        """Make an organization: plan, networks, suspended."""

    def make_key(self, organization_id: str, wanted: Mapping[str, Any]) -> str | None:
        """
        Make a key; None when that is refused.

        `stored` is written behind the service's back, `text` is what it then goes by, and `revoked` ends it.
        """

    def ask(self, method: str, target: str, key: str | None, environment: str | None, headers: Headers) -> Answer:
        """Send a request."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One row: a request, sent `times`, and what the last one is answered."""

    says: str
    send: str  # method and target
    status: int
    key: str | None = None  # by name
    text: str | None = None  # a key's text that nobody made
    environment: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    body: str | None = None
    answer: Mapping[str, str | None] = field(default_factory=dict)  # headers of the answer
    upstream: Mapping[str, str | None] = field(default_factory=dict)  # headers that the upstream received


@dataclass(frozen=True, kw_only=True)
class Table:
    """One product's table."""

    product: str
    insufficient_scope: str
    routes: Mapping[str, Sequence[str]]
    bodies: Mapping[str, str]
    imports: Sequence[str]
    rotation: Mapping[str, int]
    organizations: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, Mapping[str, Any]]
    refused: Sequence[Mapping[str, Any]]
    requests: Sequence[Request]

    def failures(self, place: Place) -> Iterator[str]:
        """Yield what does not hold, as it is found."""
        run = _Run(self, place)
        yield from run.requests()
        yield from run.scopes()
        for wanted in self.refused:
            if place.make_key(run.organization("default"), wanted) is not None:
                yield f"this key can be made: {wanted}"


_OPTIONAL: Mapping[str, Any] = {"imports": [], "rotation": {}, "organizations": {}, "refused": []}


def table(product: str) -> Table:
    """Read the table of a product."""
    data = yaml.safe_load((FOLDER / product / "table.yaml").read_text())
    requests = [Request(**row) for row in data.pop("requests")]
    return Table(product=product, requests=requests, **{**_OPTIONAL, **data})


class _Run:
    def __init__(self, of: Table, place: Place) -> None:
        self._table = of
        self._place = place
        self._organizations: dict[str, str] = {}
        self._keys: dict[str, str | None] = {}

    def requests(self) -> Iterator[str]:
        for row in self._table.requests:
            key = row.text if row.key is None else self._named(row.key)
            if row.key is not None and key is None:
                yield f"{row.says}: the key {row.key!r} cannot be made"
                continue
            method, target = row.send.split(" ")
            headers = list(row.headers.items())
            for _ in range(row.times):
                answer = self._place.ask(method, target, key, row.environment, headers)
            yield from (f"{row.says}: {what}" for what in _differences(row, answer))
            looks = self._table.keys[row.key].get("looks") if row.key is not None else None
            if looks is not None and re.fullmatch(looks, key or "") is None:
                yield f"{row.says}: the key is {key!r}"

    def scopes(self) -> Iterator[str]:
        """A key with only this scope comes in, one with all others does not and is told what it lacks."""
        everything = list(self._table.routes)
        for scope, requests in self._table.routes.items():
            only = self._key({"scopes": [scope]})
            others = self._key({"scopes": [other for other in everything if other != scope]})
            refusal = self._table.insufficient_scope.replace("{scope}", scope)
            for request in requests:
                method, target = request.split(" ")
                status = self._place.ask(method, target, only, None, ()).status
                if status != 200:
                    yield f"{request} with {scope} only: {status}"
                refused = self._place.ask(method, target, others, None, ())
                if refused.status != 403 or not _matches(refusal, refused.body.decode()):
                    yield f"{request} without {scope}: {refused.status} {refused.body.decode()}"

    def organization(self, name: str) -> str:
        if name not in self._organizations:
            wanted = self._table.organizations.get(name, {})
            self._organizations[name] = self._place.make_organization(wanted)
        return self._organizations[name]

    def _named(self, name: str) -> str | None:
        if name not in self._keys:
            self._keys[name] = self._key(self._table.keys[name])
        return self._keys[name]

    def _key(self, wanted: Mapping[str, Any]) -> str | None:
        own = {name: value for name, value in wanted.items() if name not in ("organization", "looks")}
        return self._place.make_key(self.organization(wanted.get("organization", "default")), own)


def _differences(row: Request, answer: Answer) -> Iterator[str]:
    if answer.status != row.status:
        yield f"{answer.status} {answer.body.decode()}"
        return
    if row.body is not None and not _matches(row.body, answer.body.decode()):
        yield answer.body.decode()
    for name, value in row.answer.items():
        if not _matches(value, answer.headers.get(name)):
            yield f"{name} is {answer.headers.get(name)!r}"
    if row.upstream:
        for name, value in row.upstream.items():
            if not _matches(value, answer.received.get(name)):
                yield f"the upstream received {name}: {answer.received.get(name)!r}"


def _matches(expected: str | None, found: str | None) -> bool:
    if expected is None or found is None:
        return expected is found
    if expected.startswith("~"):
        return re.fullmatch(expected[1:], found) is not None
    return expected == found
