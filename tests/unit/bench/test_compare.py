"""Two commits side by side."""

from __future__ import annotations

from bench.compare import joined, table


def test_the_rounds_of_a_commit_are_put_together() -> None:
    """In their order, so that the n-th of both commits belong together."""
    rounds = [{"bytes": {"the whole way": {"us": [figure]}}} for figure in (1.0, 3.0, 2.0)]

    assert joined(rounds) == {"bytes": {"the whole way": {"us": [1.0, 3.0, 2.0]}}}


def test_what_one_round_lacks_is_left_out() -> None:
    """A measure that failed once, or a row."""
    whole = {"bytes": {"a": {"us": [1.0]}, "b": {"us": [1.0]}}, "hit": {"c": {"us": [1.0]}}}

    assert joined([whole, {"bytes": {"a": {"us": [2.0]}}}]) == {"bytes": {"a": {"us": [1.0, 2.0]}}}


def test_the_second_commit_is_told_as_a_ratio_to_the_first() -> None:
    """Of rounds that ran one after the other; what only one of them has is not told."""
    one = {"bytes": {"the whole way": {"us": [10.0, 20.0, 10.0]}, "gone": {"us": [1.0]}}}
    other = {"bytes": {"the whole way": {"us": [5.0, 10.0, 6.0]}}}

    assert list(table(("v1", "v2"), one, other)) == [
        "| measure | | figure | v1 | v2 | ratio |",
        "|---|---|---|---:|---:|---:|",
        "| `bytes` | the whole way | CPU µs | 10.00 | 6.00 | 0.500 |",
    ]
