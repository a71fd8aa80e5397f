"""Every metric's name and label. Readers call back for the plain counters; nothing is pushed from the hot path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from authsvc.telemetry.counters import (
    AuditCounters,
    CacheCounters,
    DecisionCounters,
    ImportCounters,
    ListenerCounters,
    RehashCounters,
    UsageCounters,
)

LOAD_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0)  # seconds

Read = Callable[[CallbackOptions], Iterable[Observation]]


def load_histogram(meter: Meter) -> Callable[[float], None]:
    """Return what takes the seconds a load of a key took."""
    histogram = meter.create_histogram(
        "authsvc.cache.load.duration",
        unit="s",
        description="Time the database took to answer for one key",
        explicit_bucket_boundaries_advisory=LOAD_BUCKETS,
    )
    return histogram.record


def observe_decisions(meter: Meter, doors: Sequence[DecisionCounters]) -> None:
    """Publish decisions by API, door and reason. One door may count in several places: one for each thread."""

    def read(_: CallbackOptions) -> Iterable[Observation]:
        totals: dict[tuple[str, str, str], int] = {}
        for door in doors:
            for (api, reason), count in list(door.by_reason.items()):
                label = (api, door.door, reason)
                totals[label] = totals.get(label, 0) + count
        for (api, name, reason), total in totals.items():
            yield Observation(total, {"api": api, "door": name, "reason": reason})

    meter.create_observable_counter("authsvc.decisions", [read], description="Decisions taken")


def observe_cache(
    meter: Meter, counters: CacheCounters, size: Callable[[], int], staleness: Callable[[], float]
) -> None:
    """Publish what the cache did, how full it is and how old its word is."""
    for name, description in (
        ("hits", "Answers from a cached key"),
        ("negative_hits", "Answers from a digest known to be absent"),
        ("loads", "Keys asked of the database"),
        ("joined", "Requests that joined a load under way"),
        ("load_failures", "Loads that failed"),
        ("corrupt", "Loads that found a record which cannot be read"),
        ("load_timeouts", "Requests that waited for a load in vain"),
        ("shed", "Requests refused because too many keys were being loaded"),
        ("evictions", "Keys dropped to make room"),
    ):
        meter.create_observable_counter(f"authsvc.cache.{name}", [_attribute(counters, name)], description=description)
    meter.create_observable_gauge(
        "authsvc.cache.size", [lambda _: [Observation(size())]], description="Keys in the cache"
    )
    meter.create_observable_gauge(
        "authsvc.cache.staleness",
        [lambda _: [Observation(staleness())]],
        unit="s",
        description="Time since the database last answered",
    )


def observe_listeners(meter: Meter, listeners: Mapping[str, ListenerCounters]) -> None:
    """Publish what listeners, by their names, did with calls besides answering them."""
    for name in ("overloaded", "faults", "late", "cancelled", "unsent"):
        meter.create_observable_counter(
            f"authsvc.listener.{name}", [_of_each(listeners, name)], description=f"Calls that were {name}"
        )
    meter.create_observable_gauge(
        "authsvc.listener.waiting", [_of_each(listeners, "in_flight")], description="Calls waiting for a load"
    )


def observe_rehash(meter: Meter, counters: RehashCounters, waiting: Callable[[], int]) -> None:
    """Publish how many keys wait for their newest form, and what became of others."""
    meter.create_observable_gauge(
        "authsvc.rehash.waiting",
        [lambda _: [Observation(waiting())]],
        description="Keys that wait for their newest form",
    )
    meter.create_observable_counter(
        "authsvc.rehash.keys",
        [_by_outcome(counters, ("done", "overtaken", "dropped", "failed"))],
        description="Keys found in an older form, by what became of them",
    )


def observe_imports(meter: Meter, counters: ImportCounters) -> None:
    """Publish what became of records that were to be imported, dry runs excepted."""
    meter.create_observable_counter(
        "authsvc.import.records",
        [_by_outcome(counters, ("imported", "present", "rejected"))],
        description="Records of imports, by what became of them",
    )


def observe_usage(meter: Meter, counters: UsageCounters, pending: Callable[[], int]) -> None:
    """Publish how much usage waits to be stored, and what became of it otherwise."""
    meter.create_observable_gauge(
        "authsvc.usage.pending", [lambda _: [Observation(pending())]], description="Counters that wait to be stored"
    )
    for name, description in (
        ("flush_failures", "Batches of usage that the database did not take at once"),
        ("folded", "Decisions counted without their key for want of memory"),
        ("uses_dropped", "Last uses of keys not kept for want of memory"),
    ):
        meter.create_observable_counter(f"authsvc.usage.{name}", [_attribute(counters, name)], description=description)

    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"api": api}) for api, count in list(counters.spikes.items())]

    meter.create_observable_counter("authsvc.usage.spikes", [read], description="Keys used far more than before")


def observe_audit(meter: Meter, counters: AuditCounters) -> None:
    """Publish how the administration refused, and how its refusals were written down."""

    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"code": code}) for code, count in list(counters.refusals.items())]

    meter.create_observable_counter("authsvc.admin.refusals", [read], description="Administrative calls refused")
    for name, description in (
        ("merged", "Refusals written down as a count only"),
        ("write_failures", "Batches of refusals that the database did not take at once"),
    ):
        meter.create_observable_counter(f"authsvc.audit.{name}", [_attribute(counters, name)], description=description)


def _of_each(listeners: Mapping[str, ListenerCounters], name: str) -> Read:
    return lambda _: [Observation(getattr(of, name), {"listener": listener}) for listener, of in listeners.items()]


def _by_outcome(source: object, names: Sequence[str]) -> Read:
    return lambda _: [Observation(getattr(source, name), {"outcome": name}) for name in names]


def _attribute(source: object, name: str) -> Read:
    return lambda _: [Observation(getattr(source, name))]
