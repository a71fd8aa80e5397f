"""How an API is found and how it words its refusals."""

from __future__ import annotations

import json

import pytest

from authsvc.domain.api import DEFAULT_ERRORS, Apis, bare_host
from authsvc.domain.dialect import ErrorTemplate, render
from authsvc.domain.reasons import WORDING, Reason
from tests.support.builders import api


@pytest.mark.parametrize(
    ("header", "name"),
    [
        pytest.param("api.example", "api.example", id="plain"),
        pytest.param("API.Example", "api.example", id="upper-case"),
        pytest.param("api.example:8443", "api.example", id="port"),
        pytest.param("[::1]", "[::1]", id="ipv6"),
        pytest.param("[::1]:80", "[::1]", id="ipv6-port"),
        pytest.param("192.0.2.1:80", "192.0.2.1", id="ipv4-port"),
        pytest.param("", "", id="empty"),
        pytest.param("api.example:", "api.example:", id="empty-port"),
        pytest.param("api.example:http", "api.example:http", id="named-port"),
        pytest.param("api.example:-1", "api.example:-1", id="negative-port"),
        pytest.param("api.example:80:80", "api.example:80", id="two-ports"),
        pytest.param("api.example.", "api.example.", id="trailing-dot"),
        pytest.param("api.example:\u0668\u0660", "api.example:\u0668\u0660", id="arabic-digits"),
        pytest.param("api.example:\u00b2", "api.example:\u00b2", id="superscript-digit"),
        pytest.param("\u212aey.example", "\u212aey.example", id="kelvin-sign"),
        pytest.param("\u0130.example", "\u0130.example", id="dotted-capital-i"),
        pytest.param("user@api.example", "user@api.example", id="user-info"),
        pytest.param("api.example,evil.example", "api.example,evil.example", id="joined"),
    ],
)
def test_bare_host(header: str, name: str) -> None:
    """A host loses its port and its case, and nothing else."""
    assert name == bare_host(header)


def test_apis_are_found_by_name_and_by_each_host() -> None:
    """Both lookups are exact; there is no default API."""
    shop, admin = api(), api(name="authsvc", hosts=frozenset())
    apis = Apis([shop, admin])

    assert apis.by_name == {"shop": shop, "authsvc": admin}
    assert apis.by_host == {"api.shop.example": shop, "api.test.shop.example": shop}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_default_answer(reason: Reason) -> None:
    """Without configuration each refusal is JSON problem details with its own status."""
    template = api().error(reason)
    values = {"reason": reason.value, "message": WORDING[reason].message, "decision_id": "d", "retry_after": "6"}
    body = json.loads(render(template, values | {"required_scope": "things:read"}))

    assert template == DEFAULT_ERRORS[reason]
    assert (body["status"], body["reason"]) == (WORDING[reason].status, reason.value)
    assert ("required_scope" in body) == (reason is Reason.INSUFFICIENT_SCOPE)
    assert ("retry_after" in body) == (reason is Reason.RATE_LIMITED)


def test_a_configured_answer_replaces_only_its_own_reason() -> None:
    """The dialect is per reason."""
    own = ErrorTemplate(status=401, content_type="text/plain", headers=(), body="no")
    shop = api(errors={Reason.INVALID_KEY: own})

    assert own == shop.error(Reason.INVALID_KEY)
    assert DEFAULT_ERRORS[Reason.UNAUTHORIZED] == shop.error(Reason.UNAUTHORIZED)
