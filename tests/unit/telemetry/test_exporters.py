"""OTLP: pushed where the standard variables say so, and nobody waits for a collector that is not there."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import closing

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)

from authsvc.telemetry import DecisionCounters, metrics
from authsvc.telemetry.exporters import Metrics

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")


class Collector(MetricsServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[ExportMetricsServiceRequest] = []
        self.arrived = threading.Event()

    def Export(  # noqa: N802 - gRPC's name
        self, request: ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> ExportMetricsServiceResponse:
        """Take one export."""
        self.received.append(request)
        self.arrived.set()
        return ExportMetricsServiceResponse()


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closing quiets the SDK's log for the rest of a process's life; here others follow."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector on a free port of the loopback."""
    server, servicer = grpc.server(futures.ThreadPoolExecutor(2)), Collector()
    add_MetricsServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def sums(collector: Collector) -> dict[tuple[str, ...], int]:
    """Return the last value of every decision, by its labels."""
    return {
        tuple(sorted(attribute.value.string_value for attribute in point.attributes)): point.as_int
        for request in collector.received
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "authsvc.decisions"
        for point in metric.sum.data_points
    }


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_collector_is_sent_the_last_word(
    variable: str, collector: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing flushes, so that a process that ends loses no count."""
    monkeypatch.setenv(variable, collector[1])
    decisions = DecisionCounters("envoy")
    with Metrics(None, 0) as running:
        metrics.observe_decisions(running.meter, [decisions])
        decisions.count("shop", "ok")
        decisions.count("shop", "ok")
        decisions.count("shop", "rate_limited")

    assert sums(collector[0]) == {("envoy", "ok", "shop"): 2, ("envoy", "rate_limited", "shop"): 1}
    names = {
        attribute.value.string_value
        for request in collector[0].received
        for resource in request.resource_metrics
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }
    assert names == {"authsvc"}


def test_a_collector_is_told_while_serving(collector: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard interval is honoured."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector[1])
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    decisions = DecisionCounters("envoy")
    decisions.count("shop", "ok")
    with Metrics(None, 0) as running:
        metrics.observe_decisions(running.meter, [decisions])

        assert collector[0].arrived.wait(10)


def test_without_the_variables_nothing_is_pushed(collector: tuple[Collector, str]) -> None:
    """A collector nobody named hears nothing."""
    with Metrics(None, 0) as running:
        metrics.observe_decisions(running.meter, [DecisionCounters("envoy")])

    assert collector[0].received == []


@pytest.fixture(params=["absent", "silent"])
def lost(request: pytest.FixtureRequest) -> Iterator[str]:
    """A collector that refuses connections, or one that takes them and never answers."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_lost_collector_costs_two_seconds_at_the_end(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting costs what it always does, and close() gives up in time."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", lost)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    decisions = DecisionCounters("envoy")
    running = Metrics(None, 0)
    metrics.observe_decisions(running.meter, [decisions])
    begun = time.thread_time()
    for _ in range(20_000):
        decisions.count("shop", "ok")
    counted = time.thread_time() - begun
    begun = time.monotonic()
    running.close()
    closed = time.monotonic() - begun

    assert decisions.by_reason == {("shop", "ok"): 20_000}
    assert counted < 1
    assert closed < 4
