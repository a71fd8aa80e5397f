"""Asking before what cannot be taken back, or hits a whole customer."""

from __future__ import annotations

import sys

from authsvc.cli.errors import REFUSED, USAGE, CommandError

_YES = frozenset({"y", "yes"})


def confirm(what: str, *, yes: bool) -> None:
    """Ask whoever sits at the terminal, unless the command line said yes; where nobody does, it has to."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{what}: add --yes to do so without being asked", USAGE)
    sys.stderr.write(f"{what}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in _YES:
        raise CommandError("nothing was changed", REFUSED)
