"""Origins and their patterns against a model that compares labels."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.origins import allowed, parse_origin, parse_pattern

LABELS = st.sampled_from(["a", "b", "ab", "app", "evilapp", "x-y", "com", "0"])
HOSTS = st.lists(LABELS, min_size=1, max_size=5)
SCHEMES = st.sampled_from(["http", "https"])
PORTS = st.sampled_from([None, 80, 443, 3000, 65535])
DEFAULT = {"http": 80, "https": 443}


def written(scheme: str, labels: list[str], port: int | None) -> str:
    """Write an origin or a pattern."""
    return f"{scheme}://{'.'.join(labels)}" + ("" if port is None else f":{port}")


@given(SCHEMES, HOSTS, PORTS, SCHEMES, HOSTS, PORTS, st.booleans(), st.data())
def test_matching_equals_comparing_labels(
    scheme: str,
    labels: list[str],
    port: int | None,
    listed_scheme: str,
    listed: list[str],
    listed_port: int | None,
    wildcard: bool,  # noqa: FBT001 - drawn, not passed
    data: st.DataObject,
) -> None:
    """Scheme and port are equal, and so are the labels, or those behind the wildcard's one or more."""
    labels = data.draw(st.sampled_from([labels, listed, [*labels, *listed]]))
    origin = parse_origin(written(scheme, labels, port))
    pattern = parse_pattern(written(listed_scheme, ["*"] * wildcard + listed, listed_port))
    refused = wildcard and (len(listed) < 2 or listed[-1].isdigit())
    under = len(labels) > len(listed) and labels[-len(listed) :] == listed
    expected = (scheme, port or DEFAULT[scheme]) == (listed_scheme, listed_port or DEFAULT[listed_scheme]) and (
        under if wildcard else labels == listed
    )

    assert origin is not None
    assert refused == (pattern is None)
    assert pattern is None or expected == allowed([pattern], origin)


@given(SCHEMES, HOSTS, PORTS, st.randoms(use_true_random=False))
def test_case_does_not_matter(scheme: str, labels: list[str], port: int | None, chance: object) -> None:
    """Hosts and schemes are case-insensitive."""
    text = written(scheme, labels, port)

    assert parse_origin(text) == parse_origin(text.upper())
    assert parse_pattern(text) == parse_pattern(text.upper())


NOISE = st.text(
    alphabet=st.sampled_from([*"aZ09.:/-@*#?[]% ,\\", "\u212a", "\u0130", "\uff0e", "\u0660", "\n", "\0"]), max_size=20
)


# A pattern's text is close to an origin's, and one stray character makes it one or the other.
NEAR = st.builds("{}{}{}".format, st.builds(written, SCHEMES, HOSTS, PORTS), NOISE.map(lambda text: text[:1]), LABELS)


@given(st.text() | NEAR | NEAR | st.builds("https://{}".format, NOISE) | st.builds("http://a.b{}".format, NOISE))
def test_what_is_read_is_what_was_written(header: str) -> None:
    """Writing an origin out again gives the header, up to case and a default port."""
    origin = parse_origin(header)
    event(f"read: {origin is not None}")
    if origin is None:
        return
    bare = f"{origin.scheme}://{origin.host}"
    forms = {f"{bare}:{origin.port}"} | ({bare} if DEFAULT[origin.scheme] == origin.port else set())

    assert header.isascii()
    assert header.lower() in forms


@given(st.text() | NOISE | st.builds("https://*.{}".format, NOISE) | st.builds("*.{}".format, NOISE))
def test_a_pattern_never_names_less_than_two_labels(text: str) -> None:
    """Whatever is written, nobody lists a whole top-level domain."""
    pattern = parse_pattern(text)

    assert pattern is None or not pattern.wildcard or pattern.host.count(".") >= 1
    assert pattern is None or "*" not in pattern.host
    assert pattern is None or pattern == parse_pattern(pattern.text)
