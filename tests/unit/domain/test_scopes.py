"""Scope names and the first missing one."""

from __future__ import annotations

import pytest

from authsvc.domain.scopes import MAX_SCOPE_LENGTH, first_missing, valid_name


@pytest.mark.parametrize("name", ["a:b", "things:read", "a-b_c:0", "-:_", "x:" + "y" * (MAX_SCOPE_LENGTH - 2)])
def test_names(name: str) -> None:
    """`resource:action` of lower-case letters, digits, `-` and `_`."""
    assert valid_name(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("*", id="star"),
        pytest.param("*:*", id="star-star"),
        pytest.param("things:*", id="any-action"),
        pytest.param("things", id="no-action"),
        pytest.param("things:", id="empty-action"),
        pytest.param(":read", id="empty-resource"),
        pytest.param("a:b:c", id="three-parts"),
        pytest.param("Things:read", id="upper-case"),
        pytest.param("things:read\n", id="trailing-newline"),
        pytest.param(" things:read", id="blank"),
        pytest.param("things:read,things:write", id="joined"),
        pytest.param("th\u0131ngs:read", id="dotless-i"),
        pytest.param("\uff54:read", id="full-width"),
        pytest.param("things:\u0661", id="arabic-digit"),
        pytest.param("x:" + "y" * (MAX_SCOPE_LENGTH - 1), id="65-bytes"),
        pytest.param("a" * 1_048_576 + ":b", id="a-megabyte"),
        pytest.param("a" * 100_000, id="no-colon-in-100-kb"),
    ],
)
def test_no_names(name: str) -> None:
    """`*` stands for full access and can never be granted by name."""
    assert not valid_name(name)


@pytest.mark.parametrize(
    ("required", "held", "missing"),
    [
        pytest.param((), (), None, id="nothing-asked"),
        pytest.param(("a:r",), ("a:r", "b:r"), None, id="held"),
        pytest.param(("a:r",), (), "a:r", id="nothing-held"),
        pytest.param(("a:r", "c:r", "b:r"), ("a:r",), "c:r", id="declared-order"),
        pytest.param(("a:r",), ("a:w",), "a:r", id="write-is-not-read"),
        pytest.param(("a:r",), ("*",), "a:r", id="a-stored-star-grants-nothing"),
        pytest.param(("a:r",), ("A:R",), "a:r", id="case-matters"),
        pytest.param(("a:r",), ("xa:r", "a:rx"), "a:r", id="substrings-do-not-count"),
        pytest.param(("",), ("a:r",), "", id="an-empty-name-is-held-by-nobody"),
    ],
)
def test_first_missing(required: tuple[str, ...], held: tuple[str, ...], missing: str | None) -> None:
    """All required scopes must be held, by their exact names."""
    assert missing == first_missing(required, frozenset(held))
