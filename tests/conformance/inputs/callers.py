"""
One good request for each product, and its exact refusals: bad inputs are these with one thing wrong.

A request goes through Envoy (`Caller.send`), or is put to the service as Envoy's question
(`Caller.check`) where Envoy itself would refuse, change or never send it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from tests.support.checks import Checked, check
from tests.support.doors import Pairs, check_request
from tests.support.products import Product
from tests.support.stack import Answer, Headers

UNAUTHORIZED, INVALID_KEY, BAD_REQUEST = "unauthorized", "invalid_key", "bad_request"
NO_ROUTE, SCOPE = "route_not_configured", "insufficient_scope"
ORIGIN, ADDRESS, ENVIRONMENT = "origin_not_allowed", "ip_not_allowed", "wrong_environment"

STATUS = {UNAUTHORIZED: 401, INVALID_KEY: 401, BAD_REQUEST: 400}  # 403 for all others
CODE = {UNAUTHORIZED: 16, INVALID_KEY: 16, BAD_REQUEST: 3}  # google.rpc.Code; 7 for all others
MESSAGE = {
    UNAUTHORIZED: "An API key is required.",
    INVALID_KEY: "The API key is not valid.",
    BAD_REQUEST: "The request is malformed or ambiguous.",
    NO_ROUTE: "No rule allows this request.",
    SCOPE: "The API key lacks a required scope.",
    ORIGIN: "The API key cannot be used from this origin.",
    ADDRESS: "The API key cannot be used from this address.",
    ENVIRONMENT: "The API key belongs to another environment.",
}
CHALLENGE = {"moveris": "ApiKey", "veridia": "Bearer", "verifa": "ApiKey", "op": "Bearer"}


@dataclass(frozen=True, kw_only=True)
class Good:
    """What one product lets through, and what it does not."""

    method: str
    path: str
    scope: str  # asked for by `path`
    other: tuple[str, str, str]  # method, path and scope of a request that a key with `scope` may not make
    prefix: str  # of its default keys


GOOD: Mapping[str, Good] = {
    "moveris": Good(
        method="GET",
        path="/api/v1/credits",
        scope="credits:read",
        other=("POST", "/api/v1/hosts", "hosts:write"),
        prefix="",
    ),
    "veridia": Good(
        method="GET",
        path="/v1/verify/vf_1",
        scope="verdicts:read",
        other=("POST", "/v1/webhooks/decrypt", "webhook-secrets:decrypt"),
        prefix="qv_sec_",
    ),
    "verifa": Good(
        method="GET",
        path="/api/v1/identities",
        scope="identities:read",
        other=("POST", "/api/v1/webhooks", "webhooks:write"),
        prefix="vk_live_",
    ),
    "op": Good(
        method="GET",
        path="/v1/credits",
        scope="credits:read",
        other=("POST", "/v1/webhooks", "webhooks:write"),
        prefix="op_live_",
    ),
}


@dataclass(frozen=True)
class Caller:
    """A product with a way to ask it the good request, or nearly."""

    product: Product

    @property
    def good(self) -> Good:
        """Return its good request."""
        return GOOD[self.product.name]

    @property
    def bearer(self) -> bool:
        """Whether keys are bearer tokens."""
        return self.product.facts.bearer

    @property
    def header(self) -> str:
        """Return the name of the header that carries the key."""
        return "authorization" if self.bearer else "x-api-key"

    def key(self, **fields: Any) -> str:
        """Make a key that may make the good request and no other, of the one organization for such keys."""
        home = self.product.stack.organization("callers")
        return self.product.key(**{"scopes": [self.good.scope], "organization_id": home, **fields})

    def presented(self, text: str) -> tuple[str, str]:
        """Return the header that presents a text as the key."""
        return self.product.credential(text)

    def send(self, headers: Headers = (), *, method: str = "", path: str = "", host: str | None = None) -> Answer:
        """Send the good request, but for what is given, through Envoy."""
        return self.product.send(method or self.good.method, path or self.good.path, headers=headers, host=host)

    def check(self, headers: Pairs = (), **changes: Any) -> Checked:
        """Ask as Envoy would about the good request, but for what is given."""
        return check(self.product.stack.channel, self.question(headers, **changes))

    def question(self, headers: Pairs = (), **changes: Any) -> CheckRequest:
        """Return Envoy's question about the good request, but for what is given."""
        environment = self.product.default_environment
        usual = {
            "method": self.good.method,
            "path": self.good.path,
            "host": self.product.facts.hosts[environment],
            "extensions": {"api": self.product.name} | ({"environment": environment} if environment else {}),
        }
        return check_request(headers=headers, **(usual | changes))

    def refused(self, answer: Answer, reason: str, scope: str = "") -> None:
        """Fail unless this is the product's own refusal for the reason, byte for byte."""
        assert (answer.status, answer.body.decode()) == (
            STATUS.get(reason, 403),
            body(self.product.name, reason, scope or self.good.other[2], answer.headers["x-authsvc-decision-id"]),
        )
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.get("www-authenticate") == (
            CHALLENGE[self.product.name] if answer.status == 401 else None
        )
        if isinstance(answer, Checked):
            assert answer.code == CODE.get(reason, 7)


def body(product: str, reason: str, scope: str, decision_id: str) -> str:
    """Return a product's refusal, written from its documentation."""
    message = MESSAGE[reason]
    if product == "moveris":
        required = f'"required_scope":"{scope}",' if reason == SCOPE else ""
        errors = f'"errors":[{{"code":"{reason}","message":"{message}"}}]'
        return f'{{"success":false,"error":"{reason}",{required}{errors}}}'
    if product == "veridia":
        return f'{{"error":"{reason}","message":"{message}","request_id":"{decision_id}"}}'
    if product == "verifa":
        words = {
            UNAUTHORIZED: (UNAUTHORIZED, "Invalid or missing API key."),
            INVALID_KEY: (UNAUTHORIZED, "Invalid or missing API key."),
            SCOPE: ("forbidden", f"API key does not have the required scope: {scope}"),
        }
        error, detail = words.get(reason, (reason, message))
        return f'{{"error":"{error}","detail":"{detail}","status_code":{STATUS.get(reason, 403)}}}'
    if reason in (UNAUTHORIZED, INVALID_KEY):
        return '{"error":"INVALID_API_KEY","message":"Invalid or missing API key."}'
    if reason == SCOPE:
        return f'{{"error":"INSUFFICIENT_PERMISSIONS","message":"{message}","required_permission":"{scope}"}}'
    return f'{{"error":"{reason.upper()}","message":"{message}"}}'
