"""The metrics that are documented are those that Prometheus gets."""

from __future__ import annotations

import inspect
import re
import urllib.request

import pytest
import yaml

from authsvc.telemetry import (
    AuditCounters,
    CacheCounters,
    DecisionCounters,
    ImportCounters,
    ListenerCounters,
    RehashCounters,
    UsageCounters,
    metrics,
)
from authsvc.telemetry.exporters import Metrics
from tests.docs.markdown import code, only, table

NOT_OURS = {"target_info"}
Exported = dict[str, set[str]]


@pytest.fixture(scope="module")
def exported() -> Exported:
    """Every metric's name with its labels, as scraped."""
    # A function that is added publishes metrics that this list, and the table, would miss.
    publishing = {name for name, _ in inspect.getmembers(metrics, inspect.isfunction) if not name.startswith("_")}
    known = {
        "load_histogram",
        "observe_audit",
        "observe_cache",
        "observe_decisions",
        "observe_listeners",
        "observe_imports",
        "observe_rehash",
        "observe_usage",
    }
    assert known == publishing
    decisions = DecisionCounters("envoy")
    decisions.count("shop", "ok")
    used = UsageCounters()
    used.spikes["shop"] = 1
    audit = AuditCounters()
    audit.refused("not_found")
    with Metrics("127.0.0.1", 0) as provider:
        metrics.load_histogram(provider.meter)(0.001)
        metrics.observe_decisions(provider.meter, [decisions])
        metrics.observe_cache(provider.meter, CacheCounters(), lambda: 1, lambda: 0.5)
        metrics.observe_listeners(provider.meter, {"standard": ListenerCounters()})
        metrics.observe_usage(provider.meter, used, lambda: 1)
        metrics.observe_audit(provider.meter, audit)
        metrics.observe_rehash(provider.meter, RehashCounters(), lambda: 1)
        metrics.observe_imports(provider.meter, ImportCounters())
        with urllib.request.urlopen(f"http://{provider.address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    found: Exported = {name: set() for name in re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)}
    for sample, labels in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE):
        family = re.sub(r"_(?:bucket|count|sum)$", "", sample)
        found[family] |= {label for label in re.findall(r'(\w+)="', labels) if not label.startswith("otel_scope_")}
    return {name: labels - {"le"} for name, labels in found.items() if name not in NOT_OURS}


def test_the_table_is_complete(exported: Exported) -> None:
    """Every metric is in the table, with its labels, and none that does not exist."""
    listed = {code(row[0])[0]: set(code(row[1])) for row in table("docs/operations.md", "name", "labels")}

    assert exported == listed


def test_alarms_watch_metrics_that_exist(exported: Exported) -> None:
    """An alarm on a name nobody exports stays silent for ever."""
    rules = yaml.safe_load(only("docs/operations.md", "yaml prometheus-rules"))
    alarms = [rule for group in rules["groups"] for rule in group["rules"]]

    assert alarms
    for alarm in alarms:
        watched = set(re.findall(r"\bauthsvc_\w+", alarm["expr"]))
        assert watched, alarm["alert"]
        assert watched <= set(exported), alarm["alert"]
