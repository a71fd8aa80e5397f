"""
The command `authsvc`.

Commands import what they need when they run, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from authsvc.cli import (
    administrators,
    audit,
    bulk_revoke,
    check,
    configuration,
    database,
    key_changes,
    key_import,
    keys,
    organization_changes,
    organizations,
    pepper,
    usage,
)
from authsvc.cli.errors import REFUSED, USAGE, CommandError

_INTERRUPTED = 130

app = typer.Typer(
    name="authsvc",
    help="API-key authorization for Envoy and gRPC backends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(database.init)


@app.command()
def serve(
    *,
    log_level: Annotated[str, typer.Option("--log-level", help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    drain: Annotated[
        float,
        typer.Option(
            "--drain", min=0, max=300, help="Seconds to go on answering after SIGTERM, so that clients leave."
        ),
    ] = 5.0,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            max=64,
            help="Processes, each with its own addresses: worker N's ports are 10·N further, its sockets end in `.N`.",
        ),
    ] = 1,
) -> int:
    """
    Serve, until SIGTERM or SIGINT.

    Example: AUTHSVC_CONFIG=authsvc.yaml authsvc serve
    """
    if workers > 1:
        from authsvc.cli.workers import run as run_several

        return run_several(workers, log_level, drain)
    # Nothing of what is imported becomes garbage: looking for some takes a tenth of the start.
    gc.disable()
    from authsvc.cli.serve import run

    gc.freeze()
    gc.enable()
    run(log_level, drain)
    return 0


app.command()(database.migrate)
app.add_typer(configuration.app, name="config")


@app.command()
def demo(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Run every printed line, compare its status, and exit.")
    ] = False,
) -> int:
    """
    Run the service, a real Envoy and a sample upstream, with curl lines to try.

    Example: authsvc demo --check
    """
    from authsvc.cli.demo.run import demo as run

    return run(check=check)


organizations.app.command()(organization_changes.update)
organizations.app.command()(organization_changes.suspend)
organizations.app.command()(organization_changes.reinstate)
organizations.app.command()(organization_changes.delete)
keys.app.command()(key_changes.update)
keys.app.command()(key_changes.rotate)
keys.app.command()(key_changes.delete)
keys.app.command()(bulk_revoke.bulk_revoke)
keys.app.command("import")(key_import.import_)
app.add_typer(organizations.app, name="org")
app.add_typer(keys.app, name="key")
app.add_typer(audit.app, name="audit")
app.add_typer(usage.app, name="usage")
app.add_typer(administrators.app, name="admin")
app.add_typer(pepper.app, name="pepper")
app.command()(check.check)


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; every failure is one sentence on standard error."""
    try:
        status = app(list(arguments), prog_name="authsvc", standalone_mode=False)
    except CommandError as error:
        return _fail(str(error), error.status)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not complain when it flushes.
        sys.stdout = None
        return REFUSED
    except Exception as error:  # noqa: BLE001 - told below, by its kind
        return _failed(error)
    return status if isinstance(status, int) else 0


def _failed(error: Exception) -> int:
    from authsvc.domain.errors import AuthsvcError, StartupError

    if isinstance(error, StartupError):
        return _fail(str(error), USAGE)
    if isinstance(error, AuthsvcError):
        return _fail(str(error), REFUSED)
    wording = getattr(error, "format_message", None)
    if wording is not None:  # typer's own, about the arguments; several lines are the help
        text = wording()
        sys.stderr.write(f"{text}\n" if "\n" in text else f"authsvc: {text} See `authsvc --help`.\n")
        return USAGE
    # Its text and traceback may quote a key or a password: only its kind and place are told.
    last = traceback.extract_tb(error.__traceback__)[-1]
    return _fail(f"unexpected {type(error).__name__} at {last.filename}:{last.lineno}", REFUSED)


def _fail(text: str, status: int) -> int:
    sys.stderr.write(f"authsvc: {text}\n")
    return status


if __name__ == "__main__":
    main()
