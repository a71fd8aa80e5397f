"""`authsvc pepper …`: the life of peppers, in the pepper file of this machine, with the database's counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli.options import AsJson, Yes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authsvc.config import Settings
    from authsvc.config.peppers import PepperFile

app = typer.Typer(no_args_is_help=True, help="Peppers, under which keys are stored.", rich_markup_mode=None)

PepperId = Annotated[str, typer.Argument(metavar="ID", help="The pepper's id.", show_default=False)]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """
    List the peppers of the file and of the database, with how many live keys are stored under each.

    Example: authsvc pepper list
    """
    import json

    from authsvc.cli import output, pepper_work

    settings = _settings()
    file, live = pepper_work.contents(settings), pepper_work.live(settings)
    rows = [(id_, state, live.get(id_, 0)) for id_, state in _states(file, live).items()]
    if as_json:
        output.say(json.dumps([{"id": id_, "state": state, "live_keys": count} for id_, state, count in rows]))
    else:
        output.print_table(("ID", "STATE", "LIVE KEYS"), [(id_, state, str(count)) for id_, state, count in rows])


@app.command()
def add(*, pepper_id: PepperId) -> None:
    """
    Add a new random pepper to the file. It is accepted, and no key is stored under it yet.

    Example: authsvc pepper add p2
    """
    from authsvc.cli import output, pepper_work
    from authsvc.cli.errors import REFUSED, CommandError
    from authsvc.config import pepper_changes

    settings = _settings()
    added = pepper_changes.added(pepper_work.contents(settings), pepper_id)
    if pepper_id in pepper_work.live(settings):
        raise CommandError(f"the database knows a pepper {pepper_id!r}: an id is never used again", REFUSED)
    pepper_changes.store(settings.pepper_file, added)
    output.say(f"{pepper_id} is in {settings.pepper_file}")
    output.note("Next: give every instance this file and restart it. Only then promote the pepper.")


@app.command()
def promote(*, pepper_id: PepperId) -> None:
    """
    Make a pepper the current one: new keys are stored under it, others as they are used.

    Every instance must accept it already, or keys would be unknown there.

    Example: authsvc pepper promote p2
    """
    from authsvc.cli import output, pepper_work
    from authsvc.config import pepper_changes

    settings = _settings()
    pepper_changes.store(settings.pepper_file, pepper_changes.promoted(pepper_work.contents(settings), pepper_id))
    output.say(f"{pepper_id} is current in {settings.pepper_file}")
    output.note("Next: give every instance this file and restart it, one after the other.")


@app.command()
def retire(
    *,
    pepper_id: PepperId,
    force: Annotated[
        bool, typer.Option("--force", help="Although live keys are stored under it: they are revoked.")
    ] = False,
    yes: Yes = False,
) -> None:
    """
    Take a pepper out of the file for good. Refused while live keys are stored under it.

    Example: authsvc pepper retire p1
    """
    from authsvc.cli import output, pepper_work
    from authsvc.cli.confirmation import confirm
    from authsvc.cli.errors import REFUSED, CommandError
    from authsvc.config import pepper_changes

    settings = _settings()
    file, live = pepper_work.contents(settings), pepper_work.live(settings)
    retired = pepper_changes.retired(file, pepper_id)
    held = pepper_work.held_by(live, pepper_id)
    if retired == file and not any(pepper_work.needs(id_, pepper_id) for id_ in live):
        raise CommandError(f"there is no pepper {pepper_id!r}", REFUSED)
    if held and not force:
        raise CommandError(
            f"{held} live keys are stored under {pepper_id}: wait until they are used, revoke them, or add --force",
            REFUSED,
        )
    if held:
        confirm(f"this revokes {held} live keys", yes=yes)
        # Before the pepper goes: a service that misses one which live keys need does not start.
        pepper_work.revoke(settings, live, pepper_id)
    pepper_work.keep_trail(settings)
    pepper_changes.store(settings.pepper_file, retired)
    output.say(f"{pepper_id} is retired")
    output.note("Next: give every instance this file and restart it.")


@app.command()
def wrap(*, pepper_id: PepperId, yes: Yes = False) -> None:
    """
    Put every key of a pepper that leaked under the current one, while no instance runs.

    The leaked pepper then serves inside the current one only. Interrupted, it goes on where it was.

    Example: authsvc pepper wrap p1 --yes
    """
    from authsvc.cli import output, pepper_work
    from authsvc.cli.confirmation import confirm
    from authsvc.config import pepper_changes

    settings = _settings()
    file = pepper_changes.wrapped(pepper_work.contents(settings), pepper_id)
    confirm(f"every instance must be stopped: this changes how every key of {pepper_id} is stored", yes=yes)
    count = pepper_work.wrap(settings, file, pepper_id)
    output.say(f"{count} keys of {pepper_id} are now under {file.wrapped[pepper_id].under}")
    output.note("Next: give every instance this file and start it.")


def _settings() -> Settings:
    import os

    from authsvc.config import Settings as Read

    return Read.from_environment(os.environ)


def _states(file: PepperFile, live: Mapping[str, int]) -> dict[str, str]:
    states = {id_: "not in the file" if count else "retired" for id_, count in live.items()}
    ids = list(file.peppers)
    for place, id_ in enumerate(ids):
        states[id_] = "accepted, newer" if place > ids.index(file.current) else "accepted"
    states[file.current] = "current"
    composed = {pepper.id for pepper in file.pepper_set().all} - file.peppers.keys()
    states |= dict.fromkeys(composed, "wrapped")
    return dict(sorted(states.items()))
