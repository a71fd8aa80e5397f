"""The statements in docs/operations.md make roles that can do what they must, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from authsvc.domain.administration import Actor
from authsvc.stores import migrate, schema
from authsvc.stores.sql import SqlStore
from tests.docs.markdown import only
from tests.support.databases import grants, run_sql
from tests.support.fakes import PEPPERS
from tests.support.postgres import MissingPostgresError, own_postgres
from tests.support.stored import new_organization

ACTOR = Actor(key_id="key_test", organization_id="", address="", request_id="")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of its own, because roles belong to all its databases; ends where a database's name goes."""
    try:
        with own_postgres() as running:
            yield running.url.removesuffix("postgres").replace("postgres@", "{role}@")
    except MissingPostgresError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def url(server: str) -> str:
    """Address of the database made by the documentation, migrated by its owner; `{role}` is to be filled in."""
    for database, kind in (("postgres", "sql postgres"), ("authsvc", "sql authsvc")):
        with psycopg.connect(server.format(role="postgres") + database, autocommit=True) as connection:
            for statement in only("docs/operations.md", kind).split(";"):
                if statement.strip():
                    connection.execute(statement.encode())
    owner = server.format(role="authsvc_owner") + "authsvc"
    migrate.upgrade(owner)
    run_sql(owner, *grants({}))
    return server + "authsvc"


def test_the_service_can_work(url: str) -> None:
    """Its role reads the schema, changes data and hears of positions."""

    async def work() -> tuple[str, int]:
        store = SqlStore.open(url.format(role="authsvc"), PEPPERS)
        try:
            await schema.require(store.database)
            changed = await store.create_organization(new_organization(), ACTOR)
            return changed.value.name, (await store.head()).revision.seq
        finally:
            await store.close()

    assert (new_organization().name, 1) == asyncio.run(work())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.own (id integer)",
        "ALTER TABLE keys ADD COLUMN own integer",
        "DROP TABLE keys",
        "TRUNCATE keys CASCADE",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "CREATE SCHEMA own",
    ],
)
def test_the_service_cannot_change_the_schema(url: str, statement: str) -> None:
    """What is stolen from the service is not the right to change tables."""
    with (
        psycopg.connect(url.format(role="authsvc")) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_nobody_else_gets_in(url: str, server: str) -> None:
    """Another role of the same PostgreSQL cannot even connect."""
    with psycopg.connect(server.format(role="postgres") + "postgres", autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")

    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(url.format(role="stranger")).close()
