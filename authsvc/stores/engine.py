"""From the text of a database URL to an engine with every wait bounded, and no part of that text ever shown."""

from __future__ import annotations

import ipaddress
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo
from sqlalchemy import URL, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from authsvc.domain.errors import StartupError

# It warns of each pipeline that ends with a fault, which is raised as well; the text has the address.
logging.getLogger("psycopg").setLevel(logging.ERROR)

POOL_SIZE = 10
BULK_POOL_SIZE = 4
POOL_TIMEOUT = 1.0  # seconds to wait for a free connection

_HINT = "write sqlite:///path/to/file or postgresql://user@host/database"
_MIN_SQLITE = (3, 35, 0)  # RETURNING
_TIMEOUTS = {"statement_timeout": 300, "lock_timeout": 200, "idle_in_transaction_session_timeout": 5000}
_BULK_TIMEOUTS = {"statement_timeout": 2500}  # less than the time after which a hanging server is cut off
_CONNECTION = {
    "connect_timeout": 1,
    "tcp_user_timeout": 1000,
    "keepalives": 1,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "application_name": "authsvc",
}


def parse_url(text: str) -> URL:
    """Read a database URL; what is wrong with it is told without any part of it."""
    url = _split(text)
    if url is None:
        raise StartupError(f"the database URL is malformed: {_HINT}")
    if url.drivername == "sqlite":
        if sqlite3.sqlite_version_info < _MIN_SQLITE:
            raise StartupError("SQLite 3.35 or newer is needed")
        return url
    if not _encrypted_or_local(url):
        raise StartupError("the database URL turns encryption off (sslmode=disable) towards another machine")
    return url


def open_engine(text: str, *, bulk: bool = False) -> AsyncEngine:
    """
    Build the engine of the service, or that of bulk work beside it, whose statements may take longer.

    Nothing is connected yet, and a missing SQLite file is not made.

    Every connection is in autocommit: a read is one round trip, and a change says BEGIN itself.
    There is no ping at checkout, which would double the cost of a load; `Database` tries again once
    when a pooled connection turns out to be dead.
    """
    url = parse_url(text)
    if url.drivername != "sqlite":
        timeouts = _TIMEOUTS | _BULK_TIMEOUTS if bulk else _TIMEOUTS
        return _open(url, connection_settings(url, timeouts), BULK_POOL_SIZE if bulk else POOL_SIZE)
    file = f"file:{quote(str(sqlite_file(url)))}"
    engine = _open(URL.create("sqlite+aiosqlite", database=file, query={"mode": "rw", "uri": "true"}), {}, POOL_SIZE)
    event.listen(engine.sync_engine, "connect", set_pragmas)
    return engine


def connection_settings(url: URL, timeouts: Mapping[str, int]) -> dict[str, Any]:
    """Return what libpq is told beyond the URL; ours come last and win."""
    settings = " ".join(f"-c {name}={value}" for name, value in {**timeouts, "timezone": "UTC"}.items())
    given = url.query.get("options")
    return {**_CONNECTION, "options": f"{given} {settings}" if isinstance(given, str) else settings}


def sqlite_file(url: URL) -> Path:
    """Return the file a SQLite URL names."""
    return Path(url.database or "").absolute()


def set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry, busy_ms: int = 200) -> None:
    """Prepare one SQLite connection, which waits so long for another one that writes."""
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={busy_ms}",
        "journal_mode=WAL",
        "synchronous=FULL",  # an acknowledged revoke survives a power cut
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _open(url: URL, connect_args: Mapping[str, Any], pool_size: int) -> AsyncEngine:
    return create_async_engine(
        url,
        connect_args=dict(connect_args),
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
    )


def _split(text: str) -> URL | None:
    # Nothing is raised from here: every parser quotes what it could not read, a password for instance.
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return None
    if url.drivername == "sqlite":
        plain = url.database not in (None, "", ":memory:") and not str(url.database).startswith("file:")
        return url if plain and "?" not in text else None
    if url.drivername not in ("postgresql", "postgres"):
        return None
    try:
        make_conninfo("", **{name: _joined(value) for name, value in url.query.items()})
    except psycopg.Error:
        return None
    return url.set(drivername="postgresql+psycopg")


def _encrypted_or_local(url: URL) -> bool:
    # libpq also reads its environment, PGSSLMODE for instance.
    environment = {option.keyword.decode(): option.val.decode() for option in Conninfo.get_defaults() if option.val}
    if url.query.get("sslmode", environment.get("sslmode")) != "disable":
        return True
    named = [_joined(url.query[name]) for name in ("host", "hostaddr") if name in url.query]
    hosts = [*named, url.host] if url.host else named
    return all(_local(host) for hosts_ in hosts or [environment.get("host", "")] for host in hosts_.split(","))


def _local(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _joined(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ",".join(value)
