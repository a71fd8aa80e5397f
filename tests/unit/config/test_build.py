"""What the sections mean: from a file to the domain's values."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.config import Cache, read
from authsvc.domain.api import Api, EnvironmentSource
from authsvc.domain.credentials import CredentialSource
from authsvc.domain.quotas import NANOS_PER_SECOND, Algorithm, Limit, Subject
from authsvc.domain.reasons import Reason

MINIMAL = (Path(__file__).parents[3] / "examples" / "minimal" / "authsvc.yaml").read_text()
BEARER = CredentialSource(header="authorization", scheme="bearer")


def shop(sections: str = "", *, instead_of: str = "") -> Api:
    """Load the smallest example with further sections, or with some in place of a part."""
    changed = MINIMAL.replace(instead_of, sections, 1) if instead_of else MINIMAL + sections
    return read(changed.encode(), Path("authsvc.yaml")).apis.by_name["shop"]


def test_what_is_absent_is_closed() -> None:
    """The smallest file has no limits, no environments, no header that is believed, and hides the key."""
    api = shop()

    assert (api.hide_credential, api.trusted_hops, api.full_access_manages_keys) == (True, 0, False)
    assert (api.environment_source, api.environments) == (EnvironmentSource.NONE, frozenset())
    assert not any(route.preflight for route in api.routes.routes)
    assert (api.rate_headers.standard, api.rate_headers.legacy) == (True, False)
    assert (api.limits, dict(api.errors)) == ((), {})


@pytest.mark.parametrize(
    ("written", "sources", "challenge"),
    [
        pytest.param("{bearer: true}", (BEARER,), "Bearer", id="bearer"),
        pytest.param(
            "{header: X-API-Key}", (CredentialSource(header="x-api-key", scheme=None),), "ApiKey", id="header"
        ),
        pytest.param(
            "{header: authorization, scheme: token}",
            (CredentialSource(header="authorization", scheme="token"),),
            "Token",
            id="scheme",
        ),
        pytest.param(
            "[{header: x-api-key}, {bearer: true}]",
            (CredentialSource(header="x-api-key", scheme=None), BEARER),
            "Bearer",
            id="two",
        ),
    ],
)
def test_credentials(written: str, sources: tuple[CredentialSource, ...], challenge: str) -> None:
    """Header names are lower-cased, and the challenge names the first scheme."""
    api = shop(written, instead_of="{bearer: true}")

    assert (api.credentials, api.challenge) == (sources, challenge)


def test_limits_of_one_key_have_different_names() -> None:
    """No two limits that may count one key share a bucket's name."""
    api = shop(
        "    limits: {per_key: [20/second, {rate: 600/minute, burst: 5}], per_organization: 1/day}\n"
        "    plans: {free: {per_key: {rate: 3/minute, algorithm: sliding_window}}}\n"
        "    default_plan: free\n"
    )
    limits = (*api.limits, *api.plans["free"].limits)

    assert [limit.name for limit in limits] == ["key", "key-2", "organization", "plan-free-key"]
    assert limits[1] == Limit(
        name="key-2",
        subject=Subject.KEY,
        algorithm=Algorithm.GCRA,
        count=600,
        period_ns=60 * NANOS_PER_SECOND,
        burst=5,
    )
    assert [limit.burst for limit in limits] == [20, 5, 1, 3]


def test_an_entry_of_errors_is_completed_by_the_default() -> None:
    """Each part of an answer comes from its reason, else from the default entry, else from the reason's wording."""
    api = shop(
        "    errors:\n"
        "      default: {content_type: text/plain, headers: {x-a: one, x-b: two}, body: no}\n"
        "      route_not_configured: {status: 404, headers: {X-A: three}}\n"
    )
    answer = api.error(Reason.ROUTE_NOT_CONFIGURED)

    assert (answer.status, answer.content_type, answer.body) == (404, "text/plain", "no")
    assert answer.headers == (("x-a", "three"), ("x-b", "two"))
    assert (api.error(Reason.UNAUTHORIZED).status, api.error(Reason.UNAVAILABLE).status) == (401, 503)


def test_a_status_alone_keeps_problem_details() -> None:
    """The default body tells the status that is really sent."""
    answer = shop("    errors: {route_not_configured: {status: 404}}\n").error(Reason.ROUTE_NOT_CONFIGURED)

    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert '"status":404' in answer.body


def test_environments_from_the_key() -> None:
    """The classes name the environments, and no request is refused for one."""
    api = shop("kind: secret, environment: live}\n    environments: from_key", instead_of="kind: secret}")

    assert (api.environment_source, api.environments) == (EnvironmentSource.KEY, frozenset({"live"}))


def test_a_route_with_several_methods() -> None:
    """Each method is a route of its own; ANY is one route for all."""
    api = shop(
        "      - {method: [PUT, PATCH], path: /x, scopes: []}\n"
        "      - {method: ANY, path: /y, scopes: [], kinds: [secret]}\n"
    )

    assert [route.name for route in api.routes.routes[-3:]] == ["PUT /x", "PATCH /x", "ANY /y"]
    assert api.routes.routes[-1].kinds == frozenset({"secret"})


def test_the_client_address_behind_proxies() -> None:
    """The named header is read from the right, as many entries as proxies are trusted."""
    api = shop("    client_address: {header: X-Forwarded-For, trusted_hops: 2}\n")

    assert (api.client_address_header, api.trusted_hops) == ("x-forwarded-for", 2)


def test_the_cache_in_seconds() -> None:
    """Durations become seconds."""
    config = read(f"cache: {{max_staleness: 0s, max_age: 1500ms}}\n{MINIMAL}".encode(), Path("authsvc.yaml"))

    assert config.cache == Cache(max_staleness=0.0, max_age=1.5, negative_age=10.0, keys=50_000, negatives=20_000)


def test_mutual_tls() -> None:
    """Everything of a listener reaches it."""
    tls = "{mode: mtls, certificate: c, key: k, client_ca: /ca, clients: [envoy, 'spiffe://x/y'], reload: 5s}"
    config = read(f"listeners: {{admin: {{tls: {tls}}}}}\n{MINIMAL}".encode(), Path("/etc/authsvc.yaml"))

    assert config.data.tls is None
    assert config.admin.tls is not None
    assert config.admin.tls.client_ca == Path("/ca")
    assert config.admin.tls.clients == {"envoy", "spiffe://x/y"}
    assert config.admin.tls.reload == 5.0
