"""A key's text on its way to the one person who may see it."""

from __future__ import annotations


class Secret:
    """Text that no log, traceback or `repr` of an enclosing object shows; `reveal` gives it out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        """Say what it is, never what it says."""
        return "Secret(…)"
