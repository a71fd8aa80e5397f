"""Explanations: the decision of the data plane, rule by rule, spending nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import OrganizationStatus
from authsvc.domain.api import EnvironmentSource
from authsvc.domain.decision import RULES, Allow, Deny
from authsvc.domain.errors import UnavailableError
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.reasons import Reason
from authsvc.domain.routes import RouteTable
from authsvc.domain.secret import Secret
from authsvc.usecases.explain_decision import ExplainDecision, ExplainRequest, Explanation, RuleOutcome
from tests.support.administration import ACME_ID, GLOBEX_ID, World, shop
from tests.support.builders import NOW, http_request, route, verdict

NAMES = ["request", "api", "credential", "key", *(rule.name for rule in RULES)]
PASS, FAIL, SKIPPED = RuleOutcome.PASS, RuleOutcome.FAIL, RuleOutcome.SKIPPED


async def explained(world: World, text: str | None, **changes: Any) -> Explanation:
    """Explain `GET /v1/things` with a key in the place of the header's."""
    own = {name: changes.pop(name) for name in ("source_ip", "organization_id") if name in changes}
    request = ExplainRequest(
        http=http_request(**changes),
        credential=None if text is None else Secret(text),
        source_ip=own.get("source_ip"),
        organization_id=own.get("organization_id"),
    )
    return await ExplainDecision(world.find, world.apis, world.limiter, world.clock)(request)


def outcomes(explanation: Explanation) -> dict[str, RuleOutcome]:
    """Return what each rule said; every rule is there, in order."""
    assert [rule.rule for rule in explanation.rules] == NAMES
    return {rule.rule: rule.outcome for rule in explanation.rules}


def failing(explanation: Explanation) -> list[str]:
    """Return the rules that object."""
    return [rule for rule, outcome in outcomes(explanation).items() if outcome is FAIL]


async def test_an_allowed_request_passes_every_rule(world: World) -> None:
    """The key is named, the limits are asked and not spent."""
    made = await world.key(scopes=("things:read",))

    explanation = await explained(world, made.secret.reveal())

    assert set(outcomes(explanation).values()) == {PASS}
    assert isinstance(explanation.outcome.decision, Allow)
    assert explanation.key_id == made.changed.value.record.id
    assert world.limiter.spent == 0
    assert world.limiter.peeked > 0


@pytest.mark.parametrize(
    ("key", "altered", "asked", "reason", "rule"),
    [
        pytest.param({}, {"revoked_at": NOW}, {}, Reason.INVALID_KEY, "key_status", id="revoked"),
        pytest.param({}, {"expires_at": NOW}, {}, Reason.INVALID_KEY, "key_status", id="expired"),
        pytest.param(
            {}, {}, {"organization_id": GLOBEX_ID}, Reason.WRONG_ORGANIZATION, "resource", id="anothers-resource"
        ),
        pytest.param({}, {}, {"target": "/v2"}, Reason.ROUTE_NOT_CONFIGURED, "route", id="no-route"),
        pytest.param(
            {"environment": "test"}, {}, {}, Reason.WRONG_ENVIRONMENT, "environment", id="of-another-environment"
        ),
        pytest.param(
            {"kind": "publishable", "scopes": ("things:create",)},
            {},
            {},
            Reason.KIND_NOT_ALLOWED,
            "kind",
            id="a-kind-not-for-this",
        ),
        pytest.param({"origins": ("https://a.example",)}, {}, {}, Reason.ORIGIN_NOT_ALLOWED, "origin", id="no-origin"),
        pytest.param(
            {"networks": WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)},
            {},
            {"source_ip": "192.0.2.9"},
            Reason.IP_NOT_ALLOWED,
            "ip",
            id="from-elsewhere",
        ),
        pytest.param({"scopes": ("things:write",)}, {}, {}, Reason.INSUFFICIENT_SCOPE, "scope", id="lacks-a-scope"),
    ],
)
async def test_the_first_failing_rule_is_the_decisions(
    world: World, key: dict[str, Any], altered: dict[str, Any], asked: dict[str, Any], reason: Reason, rule: str
) -> None:
    """It tells expired from unknown, and the later rules still say what they think."""
    made = await world.key(**{"scopes": ("things:read",), **key})
    world.store.alter_key(made.changed.value.record.id, **altered)

    explanation = await explained(world, made.secret.reveal(), **asked)

    assert isinstance(explanation.outcome.decision, Deny)
    assert explanation.outcome.decision.reason is reason
    assert failing(explanation)[0] == rule
    assert outcomes(explanation)["rate"] is PASS


async def test_later_objections_are_told_too(world: World) -> None:
    """A suspended organization's key that also lacks the scope: both are shown."""
    made = await world.key(scopes=("things:write",))
    world.store.alter_organization(ACME_ID, status=OrganizationStatus.SUSPENDED)

    assert failing(await explained(world, made.secret.reveal())) == ["organization", "scope"]


async def test_a_spent_limit_is_told(world: World) -> None:
    """The rate rule says what a request would meet."""
    made = await world.key(scopes=("things:read",))
    world.limiter.verdicts = (verdict(allowed=False),)

    explanation = await explained(world, made.secret.reveal())

    assert failing(explanation) == ["rate"]
    assert world.limiter.spent == 0


@pytest.mark.parametrize(
    ("text", "rule", "detail"),
    [
        pytest.param(None, "key", "no such key can exist", id="the-headers-own"),
        pytest.param("sk_live_" + "0" * 38, "key", "no such key can exist", id="bad-checksum"),
        pytest.param("no key at all", "credential", "no credential", id="malformed"),
    ],
)
async def test_a_key_that_cannot_exist_skips_the_rules(world: World, text: str | None, rule: str, detail: str) -> None:
    """Without a record there is nothing for the rules to look at."""
    explanation = await explained(world, text)

    (failed,) = [explained_ for explained_ in explanation.rules if explained_.outcome is FAIL]
    assert failed.rule == rule
    assert failed.detail.startswith(detail)
    assert {outcomes(explanation)[name] for name in NAMES[4:]} == {SKIPPED}
    assert explanation.key_id == ""


async def test_an_unknown_key_is_told_from_a_malformed_one(world: World) -> None:
    """Well-formed, and nobody's."""
    made = await world.key()
    world.store.digests.clear()

    explanation = await explained(world, made.secret.reveal())

    assert [rule.detail for rule in explanation.rules if rule.outcome is FAIL] == ["no such key"]


async def test_another_apis_key_is_named(world: World) -> None:
    """The caller is an administrator, and may know whose key it is."""
    made = await world.operator_key("keys:read")

    explanation = await explained(world, made.secret.reveal())

    assert failing(explanation) == ["key"]
    assert explanation.key_id == made.changed.value.record.id
    assert explanation.outcome.decision == Deny(reason=Reason.INVALID_KEY, detail="no such key")


async def test_without_a_credential_the_places_are_named(world: World) -> None:
    """The detail says which header the API reads."""
    explanation = await explained(world, None, headers={"x-api-key": "sk_live_0"})

    (failed,) = [rule for rule in explanation.rules if rule.outcome is FAIL]
    assert (failed.rule, failed.detail.endswith("shop reads authorization")) == ("credential", True)


async def test_a_malformed_path_still_explains_the_key(world: World) -> None:
    """What needs the route is skipped, the rest says what it thinks."""
    made = await world.key(scopes=("things:read",))
    world.store.alter_key(made.changed.value.record.id, revoked_at=NOW)

    explanation = await explained(world, made.secret.reveal(), target="//v1/things", host="")

    assert explanation.outcome.decision == Deny(
        reason=Reason.BAD_REQUEST, detail="method or path is malformed or ambiguous"
    )
    assert failing(explanation) == ["request", "key_status"]
    skipped = [name for name, outcome in outcomes(explanation).items() if outcome is SKIPPED]
    assert skipped == ["route", "environment", "kind", "scope"]


async def test_without_environments_that_rule_passes_on_a_malformed_path() -> None:
    """There is nothing to name."""
    world = await World(product=shop(environment_source=EnvironmentSource.NONE)).populate()
    made = await world.key(scopes=("things:read",))

    explanation = await explained(world, made.secret.reveal(), target="//v1/things", host="")

    assert outcomes(explanation)["environment"] is PASS


async def test_without_a_route_kind_and_scope_are_skipped(world: World) -> None:
    """There is nothing they could be held against."""
    made = await world.key()

    told = outcomes(await explained(world, made.secret.reveal(), target="/v2"))

    assert (told["route"], told["kind"], told["scope"]) == (FAIL, SKIPPED, SKIPPED)


async def test_a_public_route_looks_at_no_key(world: World) -> None:
    """It is allowed, and every rule about keys is skipped."""
    public = replace(world.product, routes=RouteTable([route(public=True)]))
    world = await World(product=public).populate()

    explanation = await explained(world, None)

    assert explanation.outcome.decision == Allow()
    assert {outcomes(explanation)[name] for name in NAMES[2:]} == {SKIPPED}


@pytest.mark.parametrize(
    ("target", "failed"),
    [pytest.param("/v1/things", ["api"], id="path"), pytest.param("//", ["request", "api"], id="malformed-path")],
)
async def test_no_api_explains_no_key(world: World, target: str, failed: list[str]) -> None:
    """Without an API nobody knows where the key would be."""
    explanation = await explained(world, None, extensions={"api": "unheard-of"}, target=target)

    assert failing(explanation) == failed


async def test_the_clients_address_is_taken_as_given(world: World) -> None:
    """An address that is named wins over what a proxy would find."""
    networks = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)
    made = await world.key(scopes=("things:read",), networks=networks)
    text = made.secret.reveal()

    assert failing(await explained(world, text)) == ["ip"]
    assert failing(await explained(world, text, source_ip="10.1.2.3")) == []


async def test_a_lost_database_is_told(world: World) -> None:
    """Where the data plane would answer 503, there is no explanation."""
    made = await world.key()
    world.store.fail = True

    with pytest.raises(UnavailableError):
        await explained(world, made.secret.reveal())
