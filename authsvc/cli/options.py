"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from authsvc.cli.errors import USAGE, CommandError


def chosen(flag: str, text: str) -> Any:  # noqa: ANN401 - what Typer calls it
    """Return an option that selects by a text. An empty one, as of a script's unset variable, would select all."""

    def check(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
        source = context.get_parameter_source(parameter.name or "")
        if not value and source is not None and source.name == "COMMANDLINE":
            raise CommandError(f"{flag}: is empty; leave it out to select by other things", USAGE)
        return value

    return typer.Option(flag, help=text, callback=check)


AsJson = Annotated[bool, typer.Option("--json", help="Print the response as protobuf JSON.")]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="CIDR", help="A network that may use the key; repeat it. Default: any."),
]
AnyNetwork = Annotated[bool, typer.Option("--allow-any-network", help="Accept 0.0.0.0/0 and ::/0 as networks.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")]
Etag = Annotated[str, typer.Option("--etag", help="Only if this is still its etag. Default: whatever it is now.")]
SecretOnly = Annotated[bool, typer.Option("--secret-only", help="Print the key's text and nothing else.")]
SecretFile = Annotated[
    Path | None, typer.Option("--secret-file", help="Write the key's text into this new file, mode 0600.")
]
Clear = Annotated[
    list[str] | None, typer.Option("--clear", metavar="FIELD", help="A field to empty, such as networks; repeat it.")
]
Labels = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="A label; repeat it. Nothing secret.")
]
