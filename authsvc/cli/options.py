"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the response as protobuf JSON.")]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="CIDR", help="A network that may use the key; repeat it. Default: any."),
]
AnyNetwork = Annotated[bool, typer.Option("--allow-any-network", help="Accept 0.0.0.0/0 and ::/0 as networks.")]
Labels = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="A label; repeat it. Nothing secret.")
]
