"""What an operator sees at the metrics endpoint after real calls."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from authsvc_client.v1.auth_service_pb2 import AuthenticateRequest
from prometheus_client.parser import text_string_to_metric_families

from authsvc.domain.errors import StartupError, UnavailableError
from authsvc.telemetry import CacheCounters, ListenerCounters, UsageCounters, metrics
from authsvc.telemetry.exporters import Metrics
from tests.support.doors import AUTHENTICATE, KEY, Door, check_request, door, new_key, serving


@pytest.fixture(autouse=True)
def _no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, nothing is pushed from here."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def exported(_no_collector: None) -> Iterator[Metrics]:
    """An endpoint on a free port of the loopback."""
    with Metrics("127.0.0.1", 0) as running:
        yield running


def scrape(exported: Metrics) -> dict[str, float]:
    """Return every sample as `name{label=value,…}`."""
    with urllib.request.urlopen(f"http://{exported.address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        sample.name
        + "{"
        + ",".join(f"{name}={value}" for name, value in sorted(labels(sample.labels)))
        + "}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(found: dict[str, str]) -> list[tuple[str, str]]:
    """Return our own labels: the SDK adds its scope's."""
    return [(name, value) for name, value in found.items() if not name.startswith("otel_")]


def observe(exported: Metrics, built: Door) -> None:
    """Publish a door as the service does."""
    metrics.observe_decisions(exported.meter, (built.envoy, built.rpc))
    metrics.observe_cache(exported.meter, built.cached, built.cache.__len__, lambda: built.cache.staleness)
    metrics.observe_listeners(exported.meter, {"standard": built.calls})


async def test_after_real_calls(exported: Metrics) -> None:
    """Decisions by API, door and reason; what the cache did; what the listener did."""
    built = door()
    observe(exported, built)
    async with serving(built) as served:
        for _ in range(3):
            await served.ask(key=KEY)
        await served.ask(key=new_key(seed=9))
        await served.ask(key=new_key(seed=9))
        await served.ask()
        await served.check(b"\xff")
        await served.call(AUTHENTICATE, AuthenticateRequest(api="shop", credential=KEY).SerializeToString())
        built.store.fault = UnavailableError("lost")
        await served.ask(key=new_key(seed=10))
    seen = scrape(exported)

    expected = {
        "authsvc_decisions_total{api=shop,door=envoy,reason=ok}": 3.0,
        "authsvc_decisions_total{api=shop,door=envoy,reason=invalid_key}": 2.0,
        "authsvc_decisions_total{api=shop,door=envoy,reason=unauthorized}": 1.0,
        "authsvc_decisions_total{api=shop,door=envoy,reason=unavailable}": 1.0,
        "authsvc_decisions_total{api=,door=envoy,reason=bad_request}": 1.0,
        "authsvc_decisions_total{api=shop,door=grpc,reason=ok}": 1.0,
        "authsvc_cache_hits_total{}": 3.0,
        "authsvc_cache_negative_hits_total{}": 1.0,
        "authsvc_cache_loads_total{}": 3.0,
        "authsvc_cache_load_failures_total{}": 1.0,
        "authsvc_cache_load_timeouts_total{}": 0.0,
        "authsvc_cache_size{}": 1.0,
        "authsvc_listener_overloaded_total{listener=standard}": 0.0,
        "authsvc_listener_faults_total{listener=standard}": 0.0,
        "authsvc_listener_waiting{listener=standard}": 0.0,
    }

    assert expected == {name: value for name, value in seen.items() if name in expected}
    assert 0 <= seen["authsvc_cache_staleness_seconds{}"] < 60
    assert {name for name in seen if name.startswith("authsvc_decisions")} <= set(expected)


async def test_no_label_is_the_clients(exported: Metrics) -> None:
    """Whatever clients send, the number of series stays what the configuration makes it."""
    built = door()
    observe(exported, built)
    for number in range(50):
        await built.ask(key=f"sk_live_{number}", path=f"/{number}", host=f"host{number}", headers={"x-n": str(number)})
        await built.ask(extensions={"api": f"api{number}"})
        built.check.now(check_request(method=f"{number}").SerializeToString())

    assert len([name for name in scrape(exported) if name.startswith("authsvc_decisions")]) == 3


def test_the_histogram_of_loads(exported: Metrics) -> None:
    """Loads are sorted into buckets around the load's budget."""
    observe_load = metrics.load_histogram(exported.meter)
    for seconds in (0.0004, 0.02, 0.149, 0.151, 2.0):
        observe_load(seconds)
    seen = scrape(exported)
    below = {
        bound: seen[f"authsvc_cache_load_duration_seconds_bucket{{le={bound}}}"]
        for bound in ("0.0005", "0.15", "1.0", "+Inf")
    }

    assert below == {"0.0005": 1.0, "0.15": 3.0, "1.0": 4.0, "+Inf": 5.0}


def test_every_counter_is_published(exported: Metrics) -> None:
    """A counter that is added cannot be forgotten here."""
    metrics.observe_cache(exported.meter, CacheCounters(), lambda: 0, lambda: 0.0)
    metrics.observe_listeners(exported.meter, {"l": ListenerCounters()})
    seen = " ".join(scrape(exported))
    names = [name for name in CacheCounters.__slots__ if name != "observe_load"]

    assert [name for name in names if f"authsvc_cache_{name}_total" not in seen] == []
    assert [
        name
        for name in ListenerCounters.__slots__
        if name != "in_flight" and f"authsvc_listener_{name}_total" not in seen
    ] == []


def test_nothing_but_metrics_is_served(exported: Metrics) -> None:
    """No path shows flags, configuration or a profile."""
    for path in ("/", "/metrics", "/debug/pprof", "/config", "/../etc/passwd"):
        try:
            with urllib.request.urlopen(f"http://{exported.address}{path}", timeout=10) as answer:
                body = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                body = ""
        assert all(line.startswith(("#", "authsvc_", "target_info", "otel_")) for line in body.splitlines())


def test_off() -> None:
    """Without an address there is no endpoint, and counting goes on."""
    with Metrics(None, 0) as running:
        metrics.load_histogram(running.meter)(0.1)

        assert running.address == "off"


def test_a_port_in_use(exported: Metrics) -> None:
    """One line for the operator."""
    host, _, port = exported.address.rpartition(":")
    with pytest.raises(StartupError, match=f"cannot listen on {exported.address} for metrics"):
        Metrics(host, int(port))


def test_closed_means_closed() -> None:
    """The endpoint's thread and port are gone."""
    with Metrics("127.0.0.1", 0) as running:
        address = running.address
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{address}/metrics", timeout=10)


def test_what_became_of_usage(exported: Metrics) -> None:
    """How much waits, and everything that is not as it should be."""
    counters = UsageCounters()
    counters.flush_failures, counters.folded, counters.uses_dropped = 1, 2, 3
    counters.spikes["shop"] = 4
    metrics.observe_usage(exported.meter, counters, lambda: 5)
    found = {name: value for name, value in scrape(exported).items() if name.startswith("authsvc_usage")}

    assert found == {
        "authsvc_usage_flush_failures_total{}": 1,
        "authsvc_usage_folded_total{}": 2,
        "authsvc_usage_uses_dropped_total{}": 3,
        "authsvc_usage_spikes_total{api=shop}": 4,
        "authsvc_usage_pending{}": 5,
    }
