"""The seam for safe retries by `request_id`."""

from __future__ import annotations

from authsvc.domain import inputs
from authsvc.domain.errors import InvalidInputError


def refuse_replay(request_id: str) -> None:
    """
    Refuse a request id where repeating the call would do its work twice.

    To accept it and keep nothing would promise a safe retry and then make a second key.
    """
    if inputs.request_id(request_id):
        raise InvalidInputError("request_id: not supported here yet; leave it empty")
