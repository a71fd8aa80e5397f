"""Database URLs: what is accepted, how connections are set up, and that no part of a URL is ever told."""

from __future__ import annotations

import shutil
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text

from authsvc.domain.errors import StartupError
from authsvc.stores.engine import open_engine, parse_url, sqlite_file
from authsvc.stores.sql import SqlStore
from tests.support.fakes import PEPPERS

CANARY = "hunter2"

MALFORMED = [
    pytest.param(CANARY, id="no-scheme"),
    pytest.param("", id="empty"),
    pytest.param(f"postgresql://user:{CANARY}@host:port/db", id="port-not-a-number"),
    pytest.param(f"postgresql://user:{CANARY}@host/db?bogus={CANARY}", id="unknown-parameter"),
    pytest.param(f"postgresql+asyncpg://user:{CANARY}@host/db", id="another-driver"),
    pytest.param(f"mysql://user:{CANARY}@host/db", id="another-database"),
    pytest.param(f"host=db password={CANARY}", id="conninfo"),
    pytest.param("sqlite://", id="sqlite-in-memory"),
    pytest.param("sqlite:///:memory:", id="sqlite-in-memory-by-name"),
    pytest.param(f"sqlite:///file:{CANARY}", id="sqlite-uri"),
    pytest.param(f"sqlite:///{CANARY}?mode=memory", id="sqlite-parameters"),
    pytest.param(f"sqlite:///{CANARY}?", id="sqlite-no-parameters"),
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_told_without_any_part_of_it(url: str) -> None:
    """Not in the message, and not in any exception behind it either."""
    with pytest.raises(StartupError) as caught:
        open_engine(url)

    error = caught.value
    assert (
        str(error) == "the database URL is malformed: write sqlite:///path/to/file or postgresql://user@host/database"
    )
    assert (error.__cause__, error.__context__) == (None, None)
    assert CANARY not in "".join(traceback.format_exception_only(error))


REMOTE_WITHOUT_TLS = [
    pytest.param("postgresql://u@db.example/d?sslmode=disable", id="name"),
    pytest.param("postgresql://u@10.0.0.1/d?sslmode=disable", id="address"),
    pytest.param("postgresql://u@localhost/d?sslmode=disable&hostaddr=10.0.0.1", id="address-behind-a-name"),
    pytest.param("postgresql:///d?host=localhost&host=db.example&sslmode=disable", id="second-of-two"),
    pytest.param("postgresql:///d?host=localhost,db.example&sslmode=disable", id="second-in-a-list"),
    pytest.param("postgresql://u@localhost.example/d?sslmode=disable", id="looks-local"),
]


@pytest.mark.parametrize("url", REMOTE_WITHOUT_TLS)
def test_plain_text_to_another_machine_is_refused(url: str) -> None:
    """Digests, names and addresses of customers do not travel in the clear."""
    with pytest.raises(StartupError, match="sslmode=disable"):
        open_engine(url)


def test_plain_text_by_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver reads it from there too."""
    monkeypatch.setenv("PGSSLMODE", "disable")

    with pytest.raises(StartupError, match="sslmode=disable"):
        parse_url("postgresql://u@db.example/d")
    assert parse_url("postgresql://u@db.example/d?sslmode=verify-full")

    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(StartupError, match="sslmode=disable"):
        parse_url("postgresql:///d")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://u@127.0.0.1/d?sslmode=disable", id="ipv4"),
        pytest.param("postgresql://u@[::1]/d?sslmode=disable", id="ipv6"),
        pytest.param("postgresql://u@localhost/d?sslmode=disable", id="localhost"),
        pytest.param("postgresql:///d?host=/run/postgresql&sslmode=disable", id="socket"),
        pytest.param("postgresql:///d?sslmode=disable", id="default-socket"),
        pytest.param("postgresql://u@db.example/d?sslmode=verify-full", id="encrypted"),
        pytest.param("postgres://u@db.example/d", id="short-scheme"),
    ],
)
def test_a_sound_url_is_accepted(url: str) -> None:
    """Without encryption on this machine, with it anywhere."""
    assert parse_url(url).drivername == "postgresql+psycopg"


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "a?b#c%20d.db"])
async def test_any_file_name_works(tmp_path: Path, sqlite_template: Path, name: str) -> None:
    """As in any URL, odd characters are written in percent form."""
    path = tmp_path / name
    shutil.copy(sqlite_template, path)
    url = f"sqlite:///{quote(str(path))}"
    store = SqlStore.open(url, PEPPERS)
    head = await store.head()
    await store.close()

    assert head.revision.seq == 0
    assert path == sqlite_file(parse_url(url))


async def test_postgres_connections_bound_every_wait(postgres_url: str) -> None:
    """What the server enforces on each of our connections, whatever the URL asked for."""
    store = SqlStore.open(f"{postgres_url}?options=-c%20statement_timeout%3D0%20-c%20work_mem%3D8MB", PEPPERS)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone", "work_mem")
    found = [(await store.database.rows(text(f"SHOW {name}")))[0][name] for name in names]
    await store.close()

    assert found == ["300ms", "200ms", "5s", "UTC", "8MB"]


async def test_sqlite_connections_are_careful(sqlite_url: str) -> None:
    """What every connection to a file is set to."""
    store = SqlStore.open(sqlite_url, PEPPERS)
    names = ("busy_timeout", "journal_mode", "synchronous", "foreign_keys")
    found = [next(iter((await store.database.rows(text(f"PRAGMA {name}")))[0].values())) for name in names]
    await store.close()

    assert found == [200, "wal", 2, 1]
