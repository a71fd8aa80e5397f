"""`authsvc config …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The configuration file.", rich_markup_mode=None)


@app.command()
def validate(
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Default: AUTHSVC_CONFIG.", show_default=False)
    ] = None,
) -> None:
    """
    Check a configuration, and with it what the environment says.

    Example: authsvc config validate authsvc.yaml
    """
    import os

    from authsvc.cli import output
    from authsvc.config import Settings, check_plaintext, load

    settings = Settings.from_environment(os.environ)
    config = load(file or settings.config)
    check_plaintext(settings, config)
    rows = [
        (api.name, " ".join(api.kinds), str(len(api.scopes)), str(len(api.routes.routes)))
        for api in config.apis.by_name.values()
    ]
    output.print_table(("API", "KINDS", "SCOPES", "ROUTES"), rows)
    output.say(f"{config.path} is valid")


@app.command()
def schema() -> None:
    """
    Print the JSON Schema of the configuration file.

    Example: authsvc config schema > authsvc.schema.json
    """
    import json

    from authsvc.cli import output
    from authsvc.config import json_schema

    output.say(json.dumps(json_schema(), indent=2))
