"""Where metrics go: a Prometheus endpoint, and OTLP when the standard environment variables ask for it."""

from __future__ import annotations

import logging
import os
from threading import Thread
from typing import Self
from wsgiref.simple_server import WSGIServer

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, start_http_server

from authsvc.domain.errors import StartupError

_OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
_FLUSH_MILLIS = 2_000


class Metrics:
    """
    The SDK's provider with its readers; without an endpoint where `host` is None.

    `close` waits at most two seconds for a collector.
    """

    def __init__(self, host: str | None, port: int) -> None:
        registry = CollectorRegistry()
        readers: list[MetricReader] = [PrometheusMetricReader(registry=registry)]
        if any(os.environ.get(variable) for variable in _OTLP_VARIABLES):
            readers.append(_otlp_reader())
        self._http: tuple[WSGIServer, Thread] | None = None
        self.address = "off"
        if host is not None:
            self._http = _listen(host, port, registry)
            self.address = f"{host}:{self._http[0].server_port}"
        self._provider = MeterProvider(readers, Resource.create({"service.name": "authsvc"}), shutdown_on_exit=False)
        self.meter: Meter = self._provider.get_meter("authsvc")

    def close(self) -> None:
        """Flush and stop. A collector that does not answer costs two seconds here and nothing elsewhere."""
        # An absent collector is its own operator's concern: not an error of ours at every shutdown.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider.shutdown(timeout_millis=_FLUSH_MILLIS)
        if self._http is not None:
            server, thread = self._http
            server.shutdown()
            server.server_close()
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(host: str, port: int, registry: CollectorRegistry) -> tuple[WSGIServer, Thread]:
    try:
        return start_http_server(port, host, registry)
    except OSError:
        raise StartupError(f"cannot listen on {host}:{port} for metrics: the address is in use or not ours") from None


def _otlp_reader() -> MetricReader:
    # Imported here: the exporter costs start-up time that most processes need not pay.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

    return PeriodicExportingMetricReader(OTLPMetricExporter())
