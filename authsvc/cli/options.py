"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
