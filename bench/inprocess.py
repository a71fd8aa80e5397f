"""What needs no network: request bytes to answer bytes, alone and as keys and routes grow; counting usage."""

from __future__ import annotations

import cProfile
import itertools
import json
import pstats
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from authsvc.clock import DatabaseClock
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from authsvc.servicers.ext_authz import Check
from authsvc.telemetry import DecisionCounters, UsageCounters
from authsvc.usage.recorder import Recorder
from bench.door import CONFIG, Door, per_call
from bench.figures import (
    QUICK_KEYS,
    Column,
    Conditions,
    Figures,
    Goal,
    Measure,
    Samples,
    interleaved,
)
from bench.request import check_request

PROCESSOR = Column(name="us", heading="CPU µs", digits=2)
KEYS = (1, 100, 1_000, 10_000, 100_000, 1_000_000)
ROUTES = (10, 10_000)
WHOLE, PARSE = "the whole way", "the bare parse"
COUNTED, UNCOUNTED = "counted", "not counted"
_ROUTES_OF_ONE = 4_000  # an API may have 4,096
_PROFILED, _LONGEST = 50_000, 12
_SPREAD = 1_000  # different requests that are asked in turn, where there are as many


def _cost(call: Callable[[], object]) -> Callable[[], Figures]:
    return lambda: {"us": per_call(call) * 1e6}


def _asking(door: Door, requests: Sequence[bytes]) -> Callable[[], object]:
    """Return what asks these requests in turn, in an order that memory is not read in."""
    order = itertools.cycle(random.sample(requests, len(requests)))
    now = door.check.now
    return lambda: now(next(order))


def _bytes_to_bytes(conditions: Conditions) -> Samples:
    door = Door()
    request = check_request(door.new_key())
    door.warmed([request])
    offers = {
        WHOLE: _cost(lambda: door.check.now(request)),
        PARSE: _cost(lambda: CheckRequest.FromString(request)),
    }
    return interleaved(offers, conditions.rounds)


def _profile(_: Conditions) -> Samples:
    door = Door()
    request = check_request(door.new_key())
    door.warmed([request])
    profile = cProfile.Profile()
    profile.runcall(lambda: [door.check.now(request) for _ in range(_PROFILED)])
    # Own time of each function, built-in ones included, as pstats keeps it.
    own = {place: figures[2] for place, figures in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]  # not in its stub
    whole = sum(own.values())
    longest = sorted(own, key=lambda place: own[place], reverse=True)[:_LONGEST]
    return {_function(place): {"share": [100 * own[place] / whole]} for place in longest}


def _function(place: tuple[str, int, str]) -> str:
    file, _, name = place
    folder = f"{Path(__file__).parents[1]}/authsvc/"
    return f"{file.removeprefix(folder)}: {name}" if file.startswith(folder) else name.strip("<>")


def _usage(conditions: Conditions) -> Samples:
    door = Door()
    recorder = Recorder(DatabaseClock().now, UsageCounters())
    counted = Check(door.apis, door.authorize, DecisionCounters("envoy"), recorder.record)
    request = check_request(door.new_key())
    door.warmed([request])
    offers = {
        COUNTED: _cost(lambda: counted.now(request)),
        UNCOUNTED: _cost(lambda: door.check.now(request)),
    }
    return interleaved(offers, conditions.rounds)


def _keys(conditions: Conditions) -> Samples:
    offers = {}
    for count in (count for count in KEYS if count <= conditions.keys):
        door = Door(keys=count + 1)
        # Nothing but the cache holds all of them; asked are some of them, from everywhere.
        asked = []
        for first in range(0, count, QUICK_KEYS):
            requests = [check_request(door.new_key()) for _ in range(min(QUICK_KEYS, count - first))]
            door.warmed(requests)
            asked += requests[: max(1, QUICK_KEYS * len(requests) // count)]
        offers[f"{count:,}"] = _cost(_asking(door, asked))
    return interleaved(offers, conditions.rounds)


def _routes(conditions: Conditions) -> Samples:
    offers = {}
    for count in ROUTES:
        door = Door(_with_routes(conditions.folder, count))
        keys = {name: door.new_key(api) for name, api in door.apis.by_name.items()}
        asked = [
            (number, f"bench{number // _ROUTES_OF_ONE}") for number in random.sample(range(count), min(count, _SPREAD))
        ]
        requests = [
            check_request(keys[api], api, f"/api/v1/r{number}/abc", environment="live") for number, api in asked
        ]
        door.warmed(requests)
        offers[f"{count:,}"] = _cost(_asking(door, requests))
    return interleaved(offers, conditions.rounds)


def _with_routes(folder: Path, count: int) -> Path:
    (product,) = yaml.safe_load(CONFIG.read_text())["apis"].values()
    del product["environments"]["live"]["hosts"]  # a host belongs to one API
    numbers = [range(first, min(count, first + _ROUTES_OF_ONE)) for first in range(0, count, _ROUTES_OF_ONE)]
    apis = {f"bench{place}": {**product, "routes": list(map(_route, of_one))} for place, of_one in enumerate(numbers)}
    config = folder / f"routes-{count}.yaml"
    config.write_text(json.dumps({"apis": apis}))
    return config


def _route(number: int) -> Mapping[str, object]:
    return {"method": "GET", "path": f"/api/v1/r{number}/{{item}}", "scopes": ["sessions:read"]}


MEASURES = (
    Measure(
        name="bytes",
        title="Request bytes to answer bytes",
        how="in one process, without a listener",
        columns=(PROCESSOR,),
        run=_bytes_to_bytes,
        goals=(Goal(text="the whole way to the bare parse", row=WHOLE, column="us", against=PARSE, bound=6.0),),
    ),
    Measure(
        name="profile",
        title="Where the time of a Check goes",
        how=(
            f"request bytes to answer bytes under cProfile, the {_LONGEST} functions with the most time of their own. "
            "It makes calls dearer than they are, so read these as shares"
        ),
        columns=(Column(name="share", heading="of the time, %", digits=1),),
        run=_profile,
    ),
    Measure(
        name="usage",
        title="Counting usage",
        how="request bytes to answer bytes, with and without it",
        columns=(PROCESSOR,),
        run=_usage,
        goals=(
            Goal(text="a counted Check to one that is not", row=COUNTED, column="us", against=UNCOUNTED, bound=1.03),
        ),
    ),
    Measure(
        name="keys",
        title="Keys in the cache",
        how=(
            f"request bytes to answer bytes, no key twice running: {QUICK_KEYS:,} of them from everywhere. Without a "
            "listener, whose share would hide the difference"
        ),
        columns=(PROCESSOR,),
        run=_keys,
        goals=tuple(
            Goal(text=f"{count:,} cached keys to 1,000", row=f"{count:,}", column="us", against="1,000", bound=1.25)
            for count in KEYS[-2:]
        ),
    ),
    Measure(
        name="routes",
        title="Routes",
        how=f"request bytes to answer bytes, {_SPREAD:,} routes in turn; an API has {_ROUTES_OF_ONE:,} at most",
        columns=(PROCESSOR,),
        run=_routes,
        goals=(Goal(text="10,000 routes to 10", row="10,000", column="us", against="10", bound=1.2),),
    ),
)
