"""How a command ends when it does not end well: one sentence on standard error, and an exit status."""

from __future__ import annotations

REFUSED = 1  # refused, or denied
USAGE = 2  # wrong usage or configuration
UNREACHABLE = 3  # the service could not be reached


class CommandError(Exception):
    """Ends a command; its text says what to do and is shown as it is."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
