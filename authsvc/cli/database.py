"""`authsvc migrate` and `authsvc init`: what works on the database itself, without a service."""

from __future__ import annotations

from authsvc.cli.options import AsJson


def migrate() -> None:
    """
    Make or upgrade the database's schema.

    The database is AUTHSVC_MIGRATE_DATABASE_URL, else AUTHSVC_DATABASE_URL, else the embedded one.

    Example: AUTHSVC_MIGRATE_DATABASE_URL=postgresql://owner@db/authsvc authsvc migrate
    """
    import os

    from authsvc.cli import output
    from authsvc.config import Settings
    from authsvc.domain.errors import StartupError
    from authsvc.stores import migrate as schema

    settings = Settings.from_environment(os.environ)
    named = settings.migrate_database_url or settings.database_url
    if named is None and not settings.embedded_database.exists():
        raise StartupError(f"{settings.embedded_database}: there is no database yet; run `authsvc init`")
    url = f"sqlite:///{settings.embedded_database.absolute()}" if named is None else named.get_secret_value()
    output.say(f"the schema is at revision {schema.upgrade(url)}")


def init(*, as_json: AsJson = False) -> None:
    """
    Make the home folder, the pepper, the embedded database and the first administrator key.

    The key is printed once and kept in AUTHSVC_HOME/admin.key. What is already there stays as it is.

    Example: AUTHSVC_HOME=/var/lib/authsvc authsvc init
    """
    import asyncio
    import os

    from authsvc.cli.initialize import initialize
    from authsvc.config import Settings

    asyncio.run(initialize(Settings.from_environment(os.environ), as_json=as_json))
