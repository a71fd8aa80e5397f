"""The example products: one allowed Check of each, answered by its own service."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import load, servers
from bench.figures import CPU, KERNEL, RATE, BenchError, Conditions, Goal, Measure, Samples, interleaved
from bench.request import allowed, check_request, framed

_EXAMPLES = Path(__file__).parents[1] / "examples"
# A sliding window cannot be that wide; the keys that are asked about have none.
_LIMITS = re.compile(r"(?<!rate: )\b\d+/(second|minute|hour|day)\b")
_NEVER_REACHED = "1000000/second"
SMALLEST = "minimal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A request of a product that its key may make."""

    api: str
    method: str
    target: str
    bearer: bool
    environment: str = ""
    key: Mapping[str, Any] = field(default_factory=dict)  # as it is made


PRODUCTS = {
    SMALLEST: Product(
        api="shop", method="GET", target="/v1/orders/abc?x=1", bearer=True, key={"scopes": ["orders:read"]}
    ),
    "moveris": Product(api="moveris", method="GET", target="/api/v1/results/abc?x=1", bearer=False),
    "veridia": Product(
        api="veridia",
        method="GET",
        target="/v1/verify/abc?x=1",
        bearer=True,
        environment="live",
        key={"environment": "live", "kind": "secret"},
    ),
    "verifa": Product(
        api="verifa",
        method="GET",
        target="/api/v1/sessions/abc?x=1",
        bearer=False,
        environment="live",
        key={"environment": "live", "kind": "secret"},
    ),
    "op": Product(api="op", method="GET", target="/v1/jobs/abc?x=1", bearer=True, key={"scopes": ["jobs:read"]}),
}


def unlimited(configuration: str) -> str:
    """Return a configuration whose limits are looked at and never reached."""
    return _LIMITS.sub(_NEVER_REACHED, configuration)


def _products(conditions: Conditions) -> Samples:
    with ExitStack() as stack:
        offers = {}
        for name, product in PRODUCTS.items():
            config = conditions.folder / f"{name}.yaml"
            config.write_text(unlimited((_EXAMPLES / name / "authsvc.yaml").read_text()))
            service = stack.enter_context(servers.fresh(conditions.folder / name, config))
            message = check_request(
                service.administrator.key(product.api, **product.key),
                product.api,
                product.target,
                method=product.method,
                bearer=product.bearer,
                environment=product.environment,
            )
            if not allowed(servers.call(service.fast, message)):
                raise BenchError(f"{name}: the measured Check is not allowed")
            body = conditions.folder / f"{name}.bin"
            body.write_bytes(framed(message))
            burst = load.checks(service.fast.address, body, conditions.seconds)
            offers[name] = functools.partial(load.cost, burst, service.fast.pids)
        return interleaved(offers, conditions.rounds)


MEASURES = (
    Measure(
        name="products",
        title="The example products",
        how="a Check that hits the cache, by the fast listener, each product's configuration with higher limits",
        columns=(CPU, KERNEL, RATE),
        run=_products,
        goals=tuple(
            Goal(text=f"CPU of {name} to {SMALLEST}", row=name, column="cpu_us", against=SMALLEST, bound=1.15)
            for name in PRODUCTS
            if name != SMALLEST
        ),
    ),
)
