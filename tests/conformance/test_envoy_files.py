"""Each example's envoy.yaml: complete, accepted by Envoy as it stands, and closed where it must be."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest
import yaml

from authsvc.cli.demo import envoy
from tests.support.products import EVERY_EXAMPLE, EXAMPLES, Product

FIELDS = {"time", "method", "status", "api", "organization", "key_id", "kind", "reason", "decision_id"}


def manager(name: str) -> dict[str, Any]:
    """Return the settings of the connection manager."""
    document = yaml.safe_load((EXAMPLES / name / "envoy.yaml").read_text())
    settings: dict[str, Any] = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    return dict(settings["typed_config"])


@pytest.mark.parametrize("name", EVERY_EXAMPLE)
def test_envoy_accepts_it(name: str) -> None:
    """The very file, with the addresses that it has."""
    command = [envoy.binary(), "--mode", "validate", "-c", EXAMPLES / name / "envoy.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


@pytest.mark.parametrize("name", EVERY_EXAMPLE)
def test_it_is_closed(name: str) -> None:
    """What docs/envoy.md says of every setting that could let a request pass, or be read in two ways."""
    settings = manager(name)
    asks, routes = settings["http_filters"]
    asked = asks["typed_config"]

    assert (asks["name"], routes["name"]) == ("envoy.filters.http.ext_authz", "envoy.filters.http.router")
    assert asked["failure_mode_allow"] is False
    assert asked["status_on_error"] == {"code": "ServiceUnavailable"}
    assert asked["validate_mutations"] is True
    assert settings["use_remote_address"] is settings["normalize_path"] is settings["merge_slashes"] is True
    assert settings["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert settings["common_http_protocol_options"] == {"headers_with_underscores_action": "REJECT_REQUEST"}


@pytest.mark.parametrize("name", EVERY_EXAMPLE)
def test_it_names_the_api_and_the_environment(name: str) -> None:
    """For each host; where the product has environments no host is left to chance."""
    facts = EVERY_EXAMPLE[name]
    said = {
        domain: host["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]["context_extensions"]
        for host in manager(name)["route_config"]["virtual_hosts"]
        for domain in host["domains"]
    }

    if "" in facts.hosts:
        assert said in ({"*": {"api": facts.api}}, {facts.hosts[""]: {"api": facts.api}})
    else:
        hosts = facts.hosts.items()
        assert said == {host: {"api": facts.api, "environment": environment} for environment, host in hosts}


@pytest.mark.products("veridia", "verifa")
def test_the_access_log_tells_test_traffic_apart(product: Product) -> None:
    """Billing can leave it out: the environment is on each line, with whose it was and why it was refused."""
    environments = list(product.facts.hosts)
    made = {environment: product.create_key(environment=environment) for environment in environments}
    for key in made.values():
        for asked in environments:
            product.send("GET", "/v1/nothing", key.secret, environment=asked)

    lines = logged(product, {key.key.id for key in made.values()}, count=4)

    expected = {(made[environment].key.id, environment) for environment in environments}
    assert {(line["key_id"], line["environment"]) for line in lines} == expected
    assert {line["reason"] for line in lines} == {"route_not_configured"}
    assert {frozenset(line) for line in lines} == {frozenset(FIELDS | {"environment"})}
    assert not any(key.secret in json.dumps(lines) for key in made.values())


def logged(product: Product, key_ids: set[str], count: int) -> list[dict[str, Any]]:
    """Return the access log's lines about these keys, once there are enough."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        text = (product.stack.home / "envoy.log").read_text()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        found = [line for line in lines if line.get("key_id") in key_ids]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError("the access log has not so many lines")
