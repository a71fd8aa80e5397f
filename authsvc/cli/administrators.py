"""`authsvc admin …`."""

from __future__ import annotations

from typing import Annotated

import typer

from authsvc.cli.options import AsJson, SecretFile, Yes

app = typer.Typer(no_args_is_help=True, help="Administrators' keys, without a service.", rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Make `recover` a command of its own, although it is the only one."""


@app.command()
def recover(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")],
    secret_file: SecretFile = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """
    Make a new administrator key, with every scope. Runs on the database itself, with its peppers.

    For when every administrator key is lost. The audit trail tells of it. Keys that exist stay as they are:
    revoke the lost one with the new one.

    Example: authsvc admin recover --reason "laptop of the only administrator stolen" --yes
    """
    import asyncio

    from authsvc.cli.confirmation import confirm
    from authsvc.cli.initialize import recover as make

    confirm("this makes a key that may do everything", yes=yes)
    asyncio.run(make(secret_file, reason, as_json=as_json))
