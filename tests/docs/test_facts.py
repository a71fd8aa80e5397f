"""Numbers, names and lists that the documentation repeats are those of the code."""

from __future__ import annotations

import math
import re

import pytest

from authsvc import heartbeat, server
from authsvc.cache import CacheSettings
from authsvc.cli import errors
from authsvc.domain.decision import RULES
from authsvc.domain.question import EXTENSIONS
from authsvc.domain.reasons import WORDING, Reason
from authsvc.listeners import waiting
from authsvc.servicers import administration
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from authsvc.servicers.health import DATASTORE, SERVING_NAMES
from authsvc.telemetry import logs
from tests.docs.markdown import ROOT, code, table

PLACES = {"CacheSettings": CacheSettings(), "administration": administration, "heartbeat": heartbeat, "server": server}


def test_every_reason_is_explained_with_its_status() -> None:
    """docs/envoy.md lists all reasons, each with the status it has by default."""
    listed = {code(row[0])[0]: int(row[1]) for row in table("docs/envoy.md", "reason", "HTTP")}

    assert {str(reason): wording.status for reason, wording in WORDING.items()} == listed


def test_the_rules_are_listed_in_their_order() -> None:
    """docs/request-flow.md tells the policy in the order in which it is applied, with reasons that exist."""
    rows = table("docs/request-flow.md", "rule", "asks")

    assert [rule.name for rule in RULES] == [code(row[0])[0] for row in rows]
    assert {reason for row in rows for reason in code(row[2])} <= {str(reason) for reason in Reason}


@pytest.mark.parametrize(
    ("constant", "shown"),
    [(code(row[0])[0], row[1]) for row in table("docs/caching.md", "constant", "default")],
)
def test_constants_have_the_value_that_is_shown(constant: str, shown: str) -> None:
    """docs/caching.md tells the defaults of the code."""
    place, _, attribute = constant.partition(".")

    assert math.isclose(getattr(PLACES[place], attribute), float(shown))


def test_all_of_the_caches_settings_are_shown() -> None:
    """No bound of the cache is left out."""
    shown = {code(row[0])[0] for row in table("docs/caching.md", "constant", "default")}

    assert {f"CacheSettings.{field}" for field in CacheSettings.__dataclass_fields__} <= shown


def test_the_extensions_are_those_that_are_read() -> None:
    """docs/envoy.md lists every key that the operator may set on a route."""
    assert set(EXTENSIONS) == {code(row[0])[0] for row in table("docs/envoy.md", "key", "meaning")}


def test_the_headers_are_those_that_are_set() -> None:
    """docs/envoy.md lists every identity header."""
    assert list(IDENTITY_HEADERS) == [code(row[0])[0] for row in table("docs/envoy.md", "header", "value")]


def test_the_health_names_are_those_that_answer() -> None:
    """docs/operations.md lists every name, the empty one too."""
    listed = [code(row[0])[0].strip('"') for row in table("docs/operations.md", "name", "`SERVING` when")]

    assert [*SERVING_NAMES, DATASTORE] == listed


def test_the_exit_statuses_are_those_of_the_command() -> None:
    """docs/operations.md lists every status that a command can end with."""
    listed = [int(row[0]) for row in table("docs/operations.md", "status", "meaning")]

    assert listed == [0, errors.REFUSED, errors.USAGE, errors.UNREACHABLE]


def test_the_fields_of_a_log_line_are_those_that_are_written() -> None:
    """docs/operations.md names every field that our code attaches."""
    text = (ROOT / "docs" / "operations.md").read_text().partition("## Logs")[2].partition("##")[0]

    assert set(logs.FIELDS) <= set(code(text))


def test_the_bounds_of_waiting_are_those_of_the_listener() -> None:
    """docs/request-flow.md tells the listener's bounds."""
    text = re.sub(r"\s+", " ", (ROOT / "docs" / "request-flow.md").read_text())

    assert f"at most {waiting.MAX_WAITING} calls wait" in text
    assert f"less {waiting.DEADLINE_MARGIN * 1000:.0f} ms, at most {waiting.LONGEST_BUDGET:.0f} s" in text
    assert f"less than {waiting.LEAST_BUDGET * 1000:.0f} ms left" in text
