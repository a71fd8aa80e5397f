"""
What the process tells about itself: counters, metrics, logs.

The hot path only adds to plain integers; the metrics SDK reads them when somebody asks
(`counter.add` costs 5 to 10 µs, an integer 0.1).
"""

from authsvc.telemetry.counters import (
    AuditCounters,
    CacheCounters,
    DecisionCounters,
    ImportCounters,
    ListenerCounters,
    RehashCounters,
    UsageCounters,
)

__all__ = [
    "AuditCounters",
    "CacheCounters",
    "DecisionCounters",
    "ImportCounters",
    "ListenerCounters",
    "RehashCounters",
    "UsageCounters",
]
