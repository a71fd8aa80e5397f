"""Structured logs: one JSON object a line, on standard error."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

# What our own code attaches with `extra`; nothing else of a record is printed.
FIELDS = ("decision_id", "api", "reason", "detail", "key_id", "fault", "where", "address", "revision")


_VALUE = re.compile(r"[\n\r%(<'\":=]")  # what comes before a value, in other people's messages


class JsonFormatter(logging.Formatter):
    """
    Renders a record as JSON, so that no value can forge a line.

    Exceptions are named, never quoted: their texts may hold a key, a password or a statement.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if record.name.startswith("authsvc") else _foreign(record),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, "")) != ""}
        if record.exc_info and record.exc_info[0] is not None:
            line["fault"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=True, default=str)


def _foreign(record: logging.LogRecord) -> str:
    # Other people's messages keep their wording and lose their values, which may be ours to hide. Many
    # come with the values filled in: asyncio quotes an exception that nobody asked for.
    if not isinstance(record.msg, str):
        return type(record.msg).__name__
    return _VALUE.split(record.msg, maxsplit=1)[0].rstrip()


def configure(level: str) -> None:
    """Send every log line through the formatter."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("authsvc").setLevel(level)
