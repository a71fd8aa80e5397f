"""Whatever the prefix table: a made key is its own class's, and a damaged one is nobody's."""

from __future__ import annotations

import random

from hypothesis import assume, given
from hypothesis import strategies as st

from authsvc.domain.key_text import Alphabet, Checksum, KeyClass, KeyTable, presentable
from tests.support.builders import key_class

# Few letters, so that prefixes of one another are the rule and not the exception.
PREFIXES = st.text(alphabet="ab_", min_size=0, max_size=4)
MADE = st.sampled_from([Alphabet.BASE62, Alphabet.CROCKFORD32, Alphabet.UPPER, Alphabet.HEX])


@st.composite
def classes(draw: st.DrawFn, alphabets: st.SearchStrategy[Alphabet], checksums: list[Checksum]) -> list[KeyClass]:
    """Draw a table of classes with prefixes of their own."""
    prefixes = draw(st.lists(PREFIXES, min_size=1, max_size=6, unique=True))
    return [
        key_class(
            prefix=prefix,
            kind=f"kind-{number}",
            alphabet=draw(alphabets),
            min_length=length,
            max_length=length,
            checksum=draw(st.sampled_from(checksums)),
        )
        for number, prefix in enumerate(prefixes)
        for length in [draw(st.integers(min_value=30, max_value=40))]
    ]


@given(classes(MADE, list(Checksum)), st.randoms(use_true_random=False), st.data())
def test_a_made_key_is_its_own_classs(table: list[KeyClass], chance: random.Random, data: st.DataObject) -> None:
    """Also where a random body begins like a longer prefix."""
    made = data.draw(st.sampled_from(table))
    keys = KeyTable(table)
    text = keys.generate(made, chance.choice)

    assert made is keys.parse(text)
    assert text.startswith(made.prefix)
    assert len(text) == len(made.prefix) + made.min_length
    assert presentable(text)


@given(classes(MADE, list(Checksum)), st.randoms(use_true_random=False), st.data())
def test_the_order_of_the_table_does_not_matter(
    table: list[KeyClass], chance: random.Random, data: st.DataObject
) -> None:
    """The longest prefix decides, not the first."""
    text = KeyTable(table).generate(data.draw(st.sampled_from(table)), chance.choice)
    shuffled = data.draw(st.permutations(table))

    assert KeyTable(table).parse(text) is KeyTable(shuffled).parse(text)


@given(
    classes(st.just(Alphabet.BASE62), [Checksum.CRC32]),
    st.randoms(use_true_random=False),
    st.data(),
    st.characters(codec="utf-8"),
)
def test_one_changed_character_is_always_found(
    table: list[KeyClass], chance: random.Random, data: st.DataObject, other: str
) -> None:
    """In the prefix, the body or the checksum, by any character at all."""
    keys = KeyTable(table)
    text = keys.generate(data.draw(st.sampled_from(table)), chance.choice)
    position = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
    other = data.draw(st.sampled_from([other, *table[0].alphabet.characters]))
    assume(other != text[position])

    assert keys.parse(text[:position] + other + text[position + 1 :]) is None


@given(classes(st.just(Alphabet.BASE62), [Checksum.CRC32]), st.randoms(use_true_random=False), st.data())
def test_two_swapped_neighbours_are_always_found(
    table: list[KeyClass], chance: random.Random, data: st.DataObject
) -> None:
    """The other common typo."""
    keys = KeyTable(table)
    text = keys.generate(data.draw(st.sampled_from(table)), chance.choice)
    at = data.draw(st.integers(min_value=0, max_value=len(text) - 2))
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    assume(swapped != text)

    assert keys.parse(swapped) is None


@given(
    classes(st.sampled_from(list(Alphabet)), list(Checksum)), st.text() | st.binary().map(lambda b: b.decode("latin-1"))
)
def test_any_text_has_at_most_the_class_of_its_longest_prefix(table: list[KeyClass], text: str) -> None:
    """Parsing never fails, and what it names fits."""
    found = KeyTable(table).parse(text)
    longest = max((c.prefix for c in table if text.startswith(c.prefix)), key=len, default=None)

    assert found is None or (found.prefix == longest and found.min_length <= len(text) - len(found.prefix))
    assert found is None or presentable(text)
