"""The benchmark measures what it says it does; how fast that is, no test says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from bench import __main__ as command
from bench import imports, inprocess, load, request, usage

CONFIG = Path(request.__file__).with_name("authsvc.yaml")


def test_the_check_has_the_size_that_is_compared_with() -> None:
    """528 bytes on the wire and thirteen headers, whatever the key."""
    message = request.check_request("vk_live_" + "0" * 38)

    assert len(request.framed(message)) == request.SIZE
    assert len(CheckRequest.FromString(message).attributes.request.http.headers) == 13


def test_what_is_measured_is_an_allow_from_the_cache() -> None:
    """The door answers at once, with every identity header and the limit's headers."""
    door = inprocess.Door(CONFIG)
    message = request.check_request(door.new_key())
    asyncio.run(door.warm(message))

    answer = door.check.now(message)

    assert isinstance(answer, bytes)
    assert request.allowed(answer)
    assert b"x-ratelimit-remaining" in answer


def test_a_denial_is_no_measurement() -> None:
    """A key that is refused stops the benchmark instead of flattering it."""
    door = inprocess.Door(CONFIG)

    with pytest.raises(load.BenchError):
        asyncio.run(door.warm(request.check_request("vk_live_nonsense")))


def test_what_is_counted_is_the_same_check() -> None:
    """With usage and without it; nothing else differs."""
    assert {"without_us", "with_us", "added_us", "ratio"} == set(usage.cost(CONFIG, 1))


def test_the_table_names_what_each_figure_is_compared_with() -> None:
    """A ratio without its base says nothing."""
    pair = {"rate": 2000.0, "cpu_us": 100.0}
    figures = {
        "servers": {"empty grpc.aio handler": pair, "authsvc Check": {"rate": 1800.0, "cpu_us": 110.0}},
        "bytes_to_bytes": {"parse_us": 2.0, "bytes_to_bytes_us": 18.0, "ratio": 9.0},
        "usage": {"without_us": 18.0, "with_us": 18.3, "added_us": 0.3, "ratio": 1.017},
        "bytes_per_cached_key": 1200.0,
        "misses": {"sqlite": {"few_us": 200.0, "many_us": 210.0, "ratio": 1.05}},
    }

    printed = command.table(figures)

    assert "0.90 of empty grpc.aio handler" in printed
    assert "9.0 x the bare parse" in printed
    assert "1.017 x uncounted" in printed
    assert "1.05 x one among 10,000" in printed


def test_an_import_has_as_many_records_as_are_counted() -> None:
    """Behind its header, in batches that the service takes, each a key of its own."""
    header, *batches = imports._messages(2500, "org_1")
    records = [record for message in batches for record in message.batch.records]

    assert header.HasField("header")
    assert [1000, 1000, 500] == [len(message.batch.records) for message in batches]
    assert 2500 == len({record.digest for record in records}) == len({record.external_id for record in records})
