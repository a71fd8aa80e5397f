"""The steps of `authsvc init`, which may be interrupted and run again, and of `authsvc admin recover`."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from authsvc_client.v1.key_service_pb2 import CreateKeyResponse

from authsvc.cli import output
from authsvc.cli.local import opened
from authsvc.cli.secrets import read_private_key, write_private
from authsvc.clock import DatabaseClock
from authsvc.config import Settings, admin_api, peppers
from authsvc.domain import inputs
from authsvc.domain.administration import ADMIN_API, Changed, Key
from authsvc.domain.errors import AlreadyExistsError, StartupError
from authsvc.domain.hashing import PepperSet
from authsvc.domain.secret import Secret
from authsvc.servicers import wire
from authsvc.servicers.administration import mint
from authsvc.stores import first_start, migrate
from authsvc.stores.sql import SqlStore
from authsvc.usecases.initialize import Initialize

PRIVATE_FOLDER = 0o700
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


async def initialize(settings: Settings, *, as_json: bool) -> None:
    """Bring everything a first start needs into being, and leave alone what is there."""
    _make_home(settings.home)
    url = _database(settings)
    pepper_set = _peppers(settings.pepper_file, used=await first_start.has_peppers(url))
    store = SqlStore.open(url, pepper_set)
    try:
        await store.verify_peppers(pepper_set)
        if await first_start.has_keys(store.database, ADMIN_API):
            _tell_nothing(settings, as_json=as_json)
            return
        secret, changed = await _first_key(settings, store, pepper_set)
    finally:
        await store.close()
    _tell(settings, secret, changed, as_json=as_json)


async def _first_key(settings: Settings, store: SqlStore, pepper_set: PepperSet) -> tuple[Secret, Changed[Key]]:
    first = Initialize(store, admin_api(), mint(pepper_set), DatabaseClock())
    file = settings.admin_key_file
    found = read_private_key(file)
    secret = found or first.draw()
    if found is None:
        # The file comes first: a key whose text is lost would lock everybody out.
        write_private(file, secret)
    elif not first.is_key(found):
        raise StartupError(f"{file}: is no administrator key; move it away and run init again")
    try:
        return secret, await first(secret)
    except AlreadyExistsError:
        if await first.is_stored(secret):
            raise StartupError("another init has made the key at the same moment; it is in admin.key") from None
    if found is None:
        file.unlink()
    raise StartupError("another init has made the first key at the same moment, with another AUTHSVC_HOME")


async def recover(file: Path | None, reason: str, *, as_json: bool) -> None:
    """Make another administrator key, in a database that had one."""
    inputs.reason(reason)
    async with opened() as local:
        if not await first_start.has_keys(local.store.database, ADMIN_API):
            raise StartupError("there never was an administrator key here; run `authsvc init`")
        path = file or local.settings.admin_key_file
        made = Initialize(local.store, admin_api(), mint(local.peppers), DatabaseClock())
        secret = made.draw()
        # The file comes first, as in `init`; a file that is there may be somebody's only copy of a key.
        write_private(path, secret)
        changed = await made.recover(secret, reason)
    if as_json:
        _tell_json(secret, changed)
        return
    output.say(f"new administrator key: {secret.reveal()}")
    output.say(f"kept in {path}")
    output.note("It is shown this once. Next: revoke the lost one with `authsvc key revoke`")


def _make_home(home: Path) -> None:
    try:
        with suppress(FileExistsError):
            home.mkdir(mode=PRIVATE_FOLDER, parents=True)
            home.chmod(PRIVATE_FOLDER)
        status = home.stat()
    except OSError as error:
        raise StartupError(f"{home}: cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise StartupError(f"{home}: is no folder; AUTHSVC_HOME must name one")
    if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
        raise StartupError(f"{home}: other users can write there; make it yours and run chmod 700 on it")


def _database(settings: Settings) -> str:
    if settings.database_url is not None:
        # Its schema is made by `authsvc migrate`, under a role that may.
        return settings.database_url.get_secret_value()
    url = f"sqlite:///{settings.embedded_database.absolute()}"
    migrate.upgrade(url)
    return url


def _peppers(path: Path, *, used: bool) -> PepperSet:
    if not path.exists():
        if used:
            raise StartupError(f"{path}: the pepper of this database is missing: restore it, no other can replace it")
        return peppers.generate(path)
    return peppers.read(path)


def _tell_nothing(settings: Settings, *, as_json: bool) -> None:
    if as_json:
        output.print_json(CreateKeyResponse(secret_already_shown=True))
        return
    output.say("There is an administrator key already: nothing was made.")
    if settings.admin_key_file.exists():
        output.say(f"The first one was kept in {settings.admin_key_file}.")


def _tell(settings: Settings, secret: Secret, changed: Changed[Key], *, as_json: bool) -> None:
    if as_json:
        _tell_json(secret, changed)
        return
    output.say(f"first administrator key: {secret.reveal()}")
    output.say(f"kept in {settings.admin_key_file}, where the other commands find it")
    output.note("It is shown this once. Next: `authsvc serve`")


def _tell_json(secret: Secret, changed: Changed[Key]) -> None:
    message = wire.key_message(changed.value, changed.value.created_at)
    output.print_json(CreateKeyResponse(key=message, secret=secret.reveal(), revision=str(changed.revision)))
