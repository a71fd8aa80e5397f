"""Every measure measures what it says it does; how fast that is, no test says."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.config import load
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from bench import inprocess, products, request
from bench.door import CONFIG, Door
from bench.figures import BenchError, Conditions
from bench.registry import MEASURES
from tests.support.products import EVERY_EXAMPLE, configuration

IN_PROCESS = ("bytes", "usage", "routes")


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conditions:
    """Give the conditions of a run that only shows that it runs."""
    monkeypatch.setattr(inprocess, "ROUTES", (10, 40))
    monkeypatch.setattr(inprocess, "per_call", lambda call: call() and 1e-6)
    return Conditions(folder=tmp_path, rounds=1, seconds=1, keys=1_000, comparators=lambda: None)


def test_the_check_has_the_size_that_is_compared_with() -> None:
    """528 bytes on the wire and thirteen headers, whatever the key."""
    message = request.check_request("vk_live_" + "0" * 38)

    assert len(request.framed(message)) == request.SIZE
    assert len(CheckRequest.FromString(message).attributes.request.http.headers) == 13


def test_what_is_measured_is_an_allow_from_the_cache() -> None:
    """The door answers at once, with every identity header and the limit's headers."""
    door = Door(CONFIG)
    message = request.check_request(door.new_key())
    door.warmed([message])

    answer = door.check.now(message)

    assert isinstance(answer, bytes)
    assert request.allowed(answer)
    assert b"x-ratelimit-remaining" in answer


def test_a_denial_is_no_measurement() -> None:
    """A key that is refused stops the measure instead of flattering it."""
    with pytest.raises(BenchError):
        Door(CONFIG).warmed([request.check_request("vk_live_nonsense")])


@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_measure_finds_what_its_goals_are_about(name: str, short: Conditions) -> None:
    """Rows and columns go by the same names; 10,000 routes are too many for this test."""
    measure = MEASURES[name]

    samples = measure.run(short)

    assert {column.name for column in measure.columns} == {name for figures in samples.values() for name in figures}
    assert name == "routes" or all(goal.value(samples) is not None for goal in measure.goals)


def test_goals_are_about_columns_that_are_shown() -> None:
    """A goal whose figure nobody sees cannot be checked."""
    for measure in MEASURES.values():
        assert {goal.column for goal in measure.goals} <= {column.name for column in measure.columns}, measure.name


def test_every_example_is_measured() -> None:
    """Each with its own API's name, in a configuration that still loads when its limits are raised."""
    assert set(products.PRODUCTS) == set(EVERY_EXAMPLE)


@pytest.mark.parametrize("name", products.PRODUCTS)
def test_an_example_with_higher_limits_loads(name: str, tmp_path: Path) -> None:
    """Limits are raised so that whoever measures does not run into them."""
    config = tmp_path / "authsvc.yaml"
    config.write_text(products.unlimited(configuration(name).read_text()))

    assert products.PRODUCTS[name].api in load(config).apis.by_name
