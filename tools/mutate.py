"""
Takes each line of policy out of every example in turn and sees that something notices.

A configuration without the line must be refused at the start, or make a row of the product's table
fail (`tests/conformance/<product>/table.yaml`, which `make conformance` runs behind Envoy). Here the
tables run in process. A bound whose line cannot be left out is replaced by none instead.

Use: `python -m tools.mutate [PRODUCT…]`; the exit status is 1 when a mutant survives.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from authsvc.config import ConfigError, read
from authsvc.domain.api import Api
from tests.support.in_process import Extensions, InProcess, disagreements
from tests.support.products import EVERY_EXAMPLE, EXAMPLES
from tests.support.tables import Table, table

_EXT_AUTHZ = "envoy.filters.http.ext_authz"
_WORDS = "description"  # the one key that says nothing about what is allowed
# Where leaving out is refused: what stands for no bound.
_UNBOUNDED = {("kinds", "*", "scopes"): "all", ("kinds", "*", "origins"): "optional", ("routes", "*", "scopes"): []}

REFUSED, CAUGHT, SAME, SURVIVED = "refused at the start", "caught", "says what holds anyway", "SURVIVED"


@dataclass(frozen=True)
class Mutant:
    """A configuration without one thing."""

    name: str
    section: dict[str, Any]  # of the API
    extensions: Extensions


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    outcome: str
    told: str


def mutants(section: dict[str, Any], extensions: Extensions) -> Iterator[Mutant]:
    """Yield every mutant of one API and of what Envoy says about its requests."""
    for path in _paths(section):
        changed = copy.deepcopy(section)
        del _parent(changed, path)[path[-1]]
        yield Mutant(_name(path), changed, extensions)
        unbounded = _UNBOUNDED.get((path[0], "*", path[-1])) if len(path) == 3 else None  # noqa: PLR2004
        if unbounded is not None and _parent(section, path)[path[-1]] != unbounded:
            changed = copy.deepcopy(section)
            _parent(changed, path)[path[-1]] = unbounded
            yield Mutant(f"{_name(path)} → {unbounded}", changed, extensions)
    for host, said in extensions.items():
        for name in said:
            less = {key: value for key, value in said.items() if key != name}
            yield Mutant(f"context_extensions of {host}: {name}", section, {**extensions, host: less})


def judge(mutant: Mutant, api: str, original: Api, rows: Table) -> Verdict:
    """Load a mutant and run the table against it up to the first row that fails."""
    try:
        config = read(json.dumps({"apis": {api: mutant.section}}).encode(), Path("mutant.yaml"))
    except ConfigError as error:
        return Verdict(REFUSED, str(error).partition("\n")[0])
    changed = config.apis.by_name[api]
    place = InProcess(changed, EVERY_EXAMPLE[rows.product], mutant.extensions)
    try:
        failure = next(rows.failures(place), None) or next(disagreements(rows, changed), None)
    finally:
        place.close()
    if failure is not None:
        return Verdict(CAUGHT, failure)
    unchanged = mutant.section is None or _plain(changed) == _plain(original)
    return Verdict(SAME if unchanged and "context_extensions" not in mutant.name else SURVIVED, "")


def example(product: str) -> tuple[str, dict[str, Any], Extensions]:
    """Return an example's one API: its name, its section, and what Envoy says by host."""
    document = yaml.safe_load((EXAMPLES / product / "authsvc.yaml").read_text())
    ((api, section),) = document["apis"].items()
    return api, section, _extensions(yaml.safe_load((EXAMPLES / product / "envoy.yaml").read_text()))


def main(products: list[str]) -> int:
    """Try every mutant and print the survivors."""
    survived = 0
    for product in products or EVERY_EXAMPLE:
        began, outcomes = time.monotonic(), Counter[str]()
        api, section, extensions = example(product)
        original = read(json.dumps({"apis": {api: section}}).encode(), Path("example.yaml")).apis.by_name[api]
        rows = table(product)
        nothing = judge(Mutant("nothing", section, extensions), api, original, rows)
        if nothing.outcome != SAME:
            print(f"{product}: the table does not hold: {nothing.told}")
            return 1
        for mutant in mutants(section, extensions):
            verdict = judge(mutant, api, original, rows)
            outcomes[verdict.outcome] += 1
            if verdict.outcome in (SAME, SURVIVED):
                print(f"{product}: {verdict.outcome}: {mutant.name}")
        survived += outcomes[SURVIVED]
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"{product}: {outcomes.total()} mutants in {time.monotonic() - began:.1f} s: {told}")
    return 1 if survived else 0


def _paths(node: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401 - plain data
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        if key != _WORDS:
            yield (*at, key)
            yield from _paths(value, (*at, key))


def _parent(section: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - plain data
    for key in path[:-1]:
        section = section[key]
    return section


def _name(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _plain(api: Api) -> dict[str, Any]:
    """Return what an API says, comparable."""
    told = {field.name: getattr(api, field.name) for field in fields(api)}
    return {**told, "keys": api.keys.classes, "routes": [asdict(route) for route in api.routes.routes]}


def _extensions(envoy: dict[str, Any]) -> Extensions:
    manager = envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return {
        domain: host["typed_per_filter_config"][_EXT_AUTHZ]["check_settings"]["context_extensions"]
        for host in manager["route_config"]["virtual_hosts"]
        for domain in host["domains"]
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
