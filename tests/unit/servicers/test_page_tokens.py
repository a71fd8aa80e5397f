"""Where a list goes on: opaque, and of no use anywhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.errors import InvalidInputError
from authsvc.domain.hashing import Pepper, PepperSet
from authsvc.servicers.page_tokens import PageTokens

OLD, NEW = Pepper("p1", b"1" * 32), Pepper("p2", b"2" * 32)
TOKENS = PageTokens(PepperSet(OLD, []))
AFTER = "key_01J00000000000000000000001"


def test_the_ends_of_a_list_are_empty() -> None:
    """No token is the first page, and the last page has none."""
    assert (TOKENS.open(b"x", ""), TOKENS.seal(b"x", "")) == (None, "")


@given(binding=st.binary(max_size=64), after=st.text(st.characters(codec="utf-8"), min_size=1, max_size=64))
def test_a_token_leads_back(binding: bytes, after: str) -> None:
    """For what it was made for, and within its bound."""
    token = TOKENS.seal(binding, after)

    assert after == TOKENS.open(binding, token)
    assert len(token) <= 512


@given(data=st.data())
def test_an_altered_token_is_refused(data: st.DataObject) -> None:
    """Any other character anywhere, one less or one more."""
    token = TOKENS.seal(b"list", AFTER)
    position = data.draw(st.integers(0, len(token)))
    put = data.draw(st.text(st.sampled_from("AZaz09-_+/= é\n"), max_size=2))
    altered = token[:position] + put + token[position + 1 :]
    if altered in (token, ""):  # empty is the first page
        return

    with pytest.raises(InvalidInputError, match=r"^page_token: "):
        TOKENS.open(b"list", altered)


@pytest.mark.parametrize("binding", [b"", b"lis", b"list2", b"LIST"])
def test_a_token_belongs_to_its_list(binding: bytes) -> None:
    """Another caller, RPC or filter cannot go on with it."""
    with pytest.raises(InvalidInputError):
        TOKENS.open(binding, TOKENS.seal(b"list", AFTER))


def test_binding_and_position_do_not_run_into_each_other() -> None:
    """What is moved from the one to the other is another token."""
    with pytest.raises(InvalidInputError):
        TOKENS.open(b"list1", TOKENS.seal(b"list", "1" + AFTER))


def test_a_list_goes_on_while_the_pepper_is_rotated() -> None:
    """Tokens of a pepper that is still accepted are, and no others."""
    token = TOKENS.seal(b"list", AFTER)

    assert PageTokens(PepperSet(NEW, [OLD])).open(b"list", token) == AFTER
    with pytest.raises(InvalidInputError):
        PageTokens(PepperSet(NEW, [])).open(b"list", token)


def test_an_overlong_token_is_refused() -> None:
    """Before it is decoded."""
    with pytest.raises(InvalidInputError):
        TOKENS.open(b"list", "A" * 513)
