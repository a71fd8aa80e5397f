"""Maps of messages whose bytes were tampered with."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from authsvc.servicers._envoy.authsvc_check_reading_pb2 import Entry

OF_HEADERS, OF_EXTENSIONS = 3, 10  # numbers of HttpRequest's and AttributeContext's maps
_LENGTH_DELIMITED = 2


def whole(of: Message, number: int, read: Mapping[str, str]) -> dict[str, str]:
    """
    Return all entries of a map, which is field `number` of the message and was read so far.

    An entry that holds a field nobody knows is one like any other to C++, which Envoy is, and to the service. Python's
    parser puts it aside, among the unknown fields of the message.
    """
    aside: dict[str, str] = {}
    for field in UnknownFieldSet(of):
        if field.field_number == number and field.wire_type == _LENGTH_DELIMITED:
            entry = Entry.FromString(field.data)
            aside[entry.key] = entry.value
    return aside | dict(read)
