"""Two ways to read one message: the fast one must see what `CheckRequest` sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from authsvc.servicers._envoy.authsvc_check_reading_pb2 import CheckReading, Entries, Entry
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from authsvc.servicers.envoy_request import MalformedRequestError, http_request
from tests.fuzz.whole_maps import OF_HEADERS, whole

TEXT = st.text(max_size=12)
MAPS = st.dictionaries(TEXT, TEXT, max_size=6)


def fields(reading: Descriptor, request: Descriptor) -> Iterator[tuple[FieldDescriptor, FieldDescriptor]]:
    """Yield every field of a reading with its counterpart, down to the maps."""
    for field in reading.fields:
        counterpart = request.fields_by_number[field.number]
        yield field, counterpart
        inner, outer = field.message_type, counterpart.message_type
        if inner is not None and inner.full_name != outer.full_name and not outer.GetOptions().map_entry:
            yield from fields(inner, outer)


PAIRS = list(fields(CheckReading.DESCRIPTOR, CheckRequest.DESCRIPTOR))


@pytest.mark.parametrize(("ours", "theirs"), [pytest.param(*pair, id=pair[0].full_name) for pair in PAIRS])
def test_a_reading_has_the_names_and_the_wire_types_of_the_request(
    ours: FieldDescriptor, theirs: FieldDescriptor
) -> None:
    """What has another type would silently be an unknown field."""
    delimited = {FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}

    assert theirs.name == ours.name
    assert theirs.type == ours.type or {theirs.type, ours.type} <= delimited


def test_no_text_of_the_request_is_left_out() -> None:
    """What is not UTF-8 is refused wherever it stands."""
    read = {theirs.full_name for _, theirs in PAIRS}
    reached = {theirs.containing_type for _, theirs in PAIRS}
    texts = {f.full_name for message in reached for f in message.fields if f.type == FieldDescriptor.TYPE_STRING}

    assert texts
    assert texts <= read


@given(headers=MAPS, extensions=MAPS, method=TEXT, path=TEXT, host=TEXT, peer=TEXT)
def test_both_ways_see_the_same(
    headers: dict[str, str], extensions: dict[str, str], method: str, path: str, host: str, peer: str
) -> None:
    """Of whatever a protobuf library writes."""
    request = CheckRequest()
    request.attributes.source.address.socket_address.address = peer
    request.attributes.context_extensions.update(extensions)
    http = request.attributes.request.http
    http.method, http.path, http.host = method, path, host
    http.headers.update(headers)
    read = http_request(request.SerializeToString())

    assert (method, path, host, headers, extensions) == (
        read.method,
        read.target,
        read.host,
        read.headers,
        read.extensions,
    )
    assert (peer or None) == read.peer()


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([Entry(key="x-api-key")], id="no-value"),
        pytest.param([Entry(value="secret")], id="no-key"),
        pytest.param([Entry(key="a", value="1"), Entry(key="b")], id="one-without-a-value"),
    ],
)
def test_entries_that_lack_a_part_are_read_one_by_one(entries: list[Entry]) -> None:
    """No library writes them; names and values must not slip against each other."""
    raw = b"".join(b"\x1a" + bytes([entry.ByteSize()]) + entry.SerializeToString() for entry in entries)
    http = b"\x12\x03GET" + raw + b"\x22\x02/a"
    request = b"\x12" + bytes([len(http)]) + http
    attributes = b"\x22" + bytes([len(request)]) + request
    payload = b"\x0a" + bytes([len(attributes)]) + attributes
    official = CheckRequest.FromString(payload).attributes.request.http

    assert dict(official.headers) == http_request(payload).headers
    assert "GET" == official.method


def test_an_entry_with_an_unknown_field_is_one_like_any_other() -> None:
    """As in C++, which Envoy is; Python's maps put it aside, where the oracles of the fuzz tests look for it."""
    entry = Entry(key="a", value="1").SerializeToString() + b"\x1a\x01x"
    http = b"\x12\x03GET" + b"\x1a" + bytes([len(entry)]) + entry + b"\x22\x02/a"
    request = b"\x12" + bytes([len(http)]) + http
    attributes = b"\x22" + bytes([len(request)]) + request
    payload = b"\x0a" + bytes([len(attributes)]) + attributes
    official = CheckRequest.FromString(payload).attributes.request.http

    assert {"a": "1"} == http_request(payload).headers == whole(official, OF_HEADERS, official.headers)
    assert {} == dict(official.headers)


def test_the_lists_are_merged_in_order() -> None:
    """What the reading stands on: occurrences of a message field are merged, repeated fields within are appended."""
    merged = Entries.FromString(b"".join(Entry(key=k, value=k * 2).SerializeToString() for k in ("b", "a", "c")))

    assert (["b", "a", "c"], ["bb", "aa", "cc"]) == (list(merged.key), list(merged.value))


@given(st.binary(max_size=64))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    """And nothing else happens."""
    try:
        http_request(noise)
    except MalformedRequestError:
        return
    CheckRequest.FromString(noise)
