"""What does not fit together in the table of key classes."""

from __future__ import annotations

from collections.abc import Iterator

from authsvc.config.models import ApiSection, KeyClassSection
from authsvc.config.problems import Location, unknown
from authsvc.config.values import duration_text
from authsvc.domain.key_text import MAX_TEXT_LENGTH, MIN_RANDOM_BITS, Alphabet, Checksum, KeyClass, random_bits

Findings = Iterator[tuple[Location, str]]


def key_class(row: KeyClassSection) -> KeyClass:
    """Return a row as the domain knows it."""
    least, most = (row.length, row.length) if isinstance(row.length, int) else (row.length[0], row.length[1])
    return KeyClass(
        prefix=row.prefix,
        kind=row.kind,
        environment=row.environment,
        alphabet=Alphabet(row.alphabet),
        min_length=least,
        max_length=most,
        checksum=Checksum(row.checksum),
        imports=tuple(row.imports),
    )


def check(api: ApiSection) -> Findings:
    """Say what is wrong with the classes and the rotation."""
    for index, row in enumerate(api.keys.classes):
        at: Location = ("keys", "classes", index)
        if row.kind not in api.kinds:
            yield (*at, "kind"), unknown("kind", row.kind, api.kinds)
        yield from _check_text(row, at)
        yield from _check_neighbours(api.keys.classes[:index], row, at)
    rotation = api.keys.rotation
    if rotation.grace > rotation.max_grace:
        yield ("keys", "rotation", "grace"), f"is longer than max_grace, {duration_text(rotation.max_grace)}"


def _check_text(row: KeyClassSection, at: Location) -> Findings:
    made = key_class(row)
    if row.alphabet == "visible" and "length" not in row.model_fields_set:
        yield at, "needs a length: keys of the visible alphabet are made elsewhere"
    if row.alphabet == "visible" and row.checksum != "none":
        yield at, "needs checksum: none, the visible alphabet has no checksum"
        return
    if made.min_length > made.max_length:
        yield (*at, "length"), "the least comes first"
    if len(made.prefix) + made.max_length > MAX_TEXT_LENGTH:
        total = len(made.prefix) + made.max_length
        yield (*at, "length"), f"the whole key would have {total} characters; at most {MAX_TEXT_LENGTH}"
    if made.creates and random_bits(made) < MIN_RANDOM_BITS:
        bits = int(max(random_bits(made), 0))
        yield at, f"keys would carry {bits} random bits, at least {MIN_RANDOM_BITS} are needed; make length larger"


def _check_neighbours(before: list[KeyClassSection], row: KeyClassSection, at: Location) -> Findings:
    owner = (row.kind, row.environment)
    creates = key_class(row).creates
    for index, other in enumerate(before):
        same_owner = owner == (other.kind, other.environment)
        if creates and same_owner and key_class(other).creates:
            yield at, f"keys of this kind and environment are already made by keys.classes[{index}]"
        elif other.prefix == row.prefix and not same_owner:
            yield (*at, "prefix"), f"is ambiguous: keys.classes[{index}] has it for another kind or environment"
        elif other.prefix == row.prefix and creates:
            yield (
                at,
                f"stands after keys.classes[{index}], which would claim its keys; put the class that creates first",
            )
