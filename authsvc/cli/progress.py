"""How far a long command is, for whoever sits at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from authsvc.cli.import_files import Source


@contextmanager
def progress(source: Source) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error while a file is read; nothing where that is no terminal. Yield what moves it."""
    if source.size is None or not sys.stderr.isatty():
        yield lambda: None
        return
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("importing", total=source.size)
        buffer = getattr(source.file, "buffer", None)

        def advance() -> None:
            if buffer is not None:
                bar.update(task, completed=buffer.tell())

        yield advance
