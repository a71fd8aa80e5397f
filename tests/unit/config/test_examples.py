"""The examples and the blocks of docs/configuration.md are configurations that load."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from authsvc.config import json_schema, load, read
from authsvc.domain.api import Api, EmptyScopes, EnvironmentSource, OriginPolicy
from authsvc.domain.credentials import CredentialSource
from authsvc.domain.dialect import render
from authsvc.domain.quotas import NANOS_PER_SECOND, Algorithm, Subject
from authsvc.domain.reasons import WORDING, Reason
from tests.unit.config.schema_check import violations

ROOT = Path(__file__).parents[3]
EXAMPLES = ("minimal", "moveris", "op", "veridia", "verifa")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL | re.MULTILINE)


def example(name: str) -> Api:
    """Load the one API of an example."""
    (api,) = load(ROOT / "examples" / name / "authsvc.yaml").apis.by_name.values()
    return api


def body(api: Api, reason: Reason, **values: str) -> str:
    """Render a refusal as a door would."""
    template = api.error(reason)
    given = {"reason": str(reason), "message": WORDING[reason].message, "status": str(template.status), **values}
    return render(template, given)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads(name: str) -> None:
    """Every example is a valid configuration of one product."""
    assert example(name).routes.routes


def test_every_example_is_tested() -> None:
    """A new example cannot be forgotten here."""
    assert list(EXAMPLES) == sorted(path.parent.name for path in ROOT.glob("examples/*/authsvc.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_fits_the_json_schema(name: str) -> None:
    """What the loader accepts, an editor accepts too."""
    data = yaml.safe_load((ROOT / "examples" / name / "authsvc.yaml").read_text())

    assert list(violations(data, json_schema(), json_schema())) == []


@pytest.mark.parametrize("block", [pytest.param(block, id=f"block-{n}") for n, block in enumerate(BLOCKS, start=1)])
def test_a_block_of_the_documentation_loads(block: str) -> None:
    """Every YAML block of docs/configuration.md is a whole file, or sections that the smallest API takes."""
    text = (ROOT / "examples" / "minimal" / "authsvc.yaml").read_text()
    data = yaml.safe_load(text)
    for name, section in yaml.safe_load(block).items():
        if name in json_schema()["properties"]:
            data[name] = section
        else:
            data["apis"]["shop"][name] = section

    assert read(json.dumps(data).encode(), Path("docs.yaml")).apis.by_name
    assert list(violations(data, json_schema(), json_schema())) == []


def test_moveris_keys_are_opaque_and_full_access_without_scopes() -> None:
    """No prefix is needed, and an empty scope list is full access."""
    api = example("moveris")

    assert (CredentialSource(header="x-api-key", scheme=None),) == api.credentials
    assert api.keys.parse("your-old-api-key-0123456789") is not None
    assert EmptyScopes.FULL_ACCESS is api.empty_scopes
    assert len(api.scopes) == 13
    assert api.kinds["secret"].default_scopes == ()


def test_moveris_scope_errors_have_both_documented_forms() -> None:
    """The flat members and the general envelope are in one body."""
    answer = json.loads(body(example("moveris"), Reason.INSUFFICIENT_SCOPE, required_scope="webhooks:read"))

    assert (
        answer["success"],
        answer["error"],
        answer["required_scope"],
    ) == (False, "insufficient_scope", "webhooks:read")
    assert answer["errors"][0]["code"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        pytest.param("qv_pub_FJJWXMA2RN2XPRDK6YJX4KTVD0XSQHW9", ("publishable", "live"), id="documented-key"),
        pytest.param("qv_pub_test_FJJWXMA2RN2XPRDK6YJX4KTVD0XSQHW9", ("publishable", "test"), id="test"),
        pytest.param("qv_sec_FJJWXMA2RN2XPRDK6YJX4KTVD0XSQHW9", ("secret", "live"), id="secret"),
        pytest.param("qv_sec_test_FJJWXMA2RN2XPRDK6YJX4KTVD0XSQHW9", ("secret", "test"), id="secret-test"),
        pytest.param("qv_sec_FJJWXMA2RN2XPRDK6YJX4KTVD0XSQHWI", None, id="not-crockford"),
    ],
)
def test_veridia_prefixes_name_kind_and_environment(text: str, owner: tuple[str, str] | None) -> None:
    """The longest of the four prefixes decides."""
    found = example("veridia").keys.parse(text)

    assert owner == (found and (found.kind, found.environment))


def test_veridia_kinds_and_words() -> None:
    """Publishable keys need origins and hold two scopes; unauthorized and invalid_key are told apart."""
    api = example("veridia")

    assert OriginPolicy.REQUIRED is api.kinds["publishable"].origins
    assert api.kinds["publishable"].default_scopes == ("verifications:create", "captures:write")
    assert len(api.kinds["secret"].default_scopes) == 4
    assert 15 * 60 * 1_000_000 == api.grace == api.max_grace
    assert api.environments == {"live", "test"}
    assert json.loads(body(api, Reason.UNAUTHORIZED))["error"] == "unauthorized"
    assert json.loads(body(api, Reason.INVALID_KEY))["error"] == "invalid_key"
    assert api.challenge == "Bearer"


@pytest.mark.parametrize("reason", [Reason.UNAUTHORIZED, Reason.INVALID_KEY])
def test_verifa_refuses_missing_and_invalid_keys_in_the_same_bytes(reason: Reason) -> None:
    """The documented body, byte for byte."""
    api = example("verifa")

    assert body(api, reason) == '{"error":"unauthorized","detail":"Invalid or missing API key.","status_code":401}'
    assert (api.error(reason).status, api.error(reason).content_type) == (401, "application/json")


def test_verifa_names_the_missing_scope() -> None:
    """The documented 403, byte for byte."""
    expected = (
        '{"error":"forbidden","detail":"API key does not have the required scope: webhooks:write","status_code":403}'
    )

    assert expected == body(example("verifa"), Reason.INSUFFICIENT_SCOPE, required_scope="webhooks:write")


def test_verifa_scopes_and_publishable_keys() -> None:
    """Five defaults, seventeen management scopes, and publishable keys that create sessions ten times a minute."""
    api = example("verifa")
    publishable = api.kinds["publishable"]
    (limit,) = publishable.limits

    assert api.kinds["secret"].default_scopes == (
        "sessions:read",
        "sessions:create",
        "sessions:write",
        "verifications:read",
        "identities:read",
    )
    assert len(api.scopes) == 22
    assert frozenset({"sessions:create"}) == publishable.ceiling
    assert publishable.default_scopes == ("sessions:create",)
    assert OriginPolicy.OPTIONAL is publishable.origins
    assert (
        limit.algorithm,
        limit.subject,
        limit.count,
        limit.period_ns,
    ) == (Algorithm.SLIDING_WINDOW, Subject.KEY, 10, 60 * NANOS_PER_SECOND)


def test_op_counts_for_organizations_and_speaks_in_capitals() -> None:
    """One limit for all keys of an organization, six permissions, documented codes."""
    api = example("op")

    assert [limit.subject for limit in api.limits] == [Subject.ORGANIZATION]
    assert len(api.scopes) == 6
    assert api.presets == {"read-only": ("jobs:read", "results:read", "credits:read")}
    assert EnvironmentSource.NONE is api.environment_source
    assert json.loads(body(api, Reason.UNAUTHORIZED))["error"] == "INVALID_API_KEY"
    assert body(api, Reason.UNAUTHORIZED) == body(api, Reason.INVALID_KEY)
    assert json.loads(body(api, Reason.ORGANIZATION_SUSPENDED))["error"] == "ORGANIZATION_SUSPENDED"
    assert all(body(api, reason, retry_after="1").split('"')[3].isupper() for reason in Reason)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_scope_of_an_example_guards_a_route(name: str) -> None:
    """No scope is in a catalogue for nothing."""
    api = example(name)

    assert set(api.scopes) == {scope for route in api.routes.routes for scope in route.scopes}
