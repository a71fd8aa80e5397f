"""Statements that are prepared once say the same as SQLAlchemy's own way to run them. Either database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import BigInteger, Integer, bindparam, func, insert, literal, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from authsvc.stores.columns import Document, Instant, Text
from authsvc.stores.prepared import Prepared
from authsvc.stores.sql import SqlStore
from authsvc.stores.tables import usage_flushes
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS

VALUES: dict[str, Any] = {
    "nothing": None,
    "empty": "",
    "placeholders": "%s %(text)s %% $1 :text",
    "quotes": "'\"\\ \n",
    "beyond-ascii": "ключ 🔑",
}
INSTANTS = {"1970": 0, "before-1970": -1, "to-the-microsecond": 1_764_460_800_123_457, "nothing": None}
DOCUMENTS = {"nothing": None, "list": ["a", None, 1, "%s"], "object": {"a%": {"b": [True, 1.5]}}}


def echo(type_: Any) -> Prepared:
    """Return a statement that returns its parameter, and a constant that holds what looks like another one."""
    return Prepared(
        select(bindparam("value", type_=type_).label("value"), literal("100 % $1 :value").label("constant"))
    )


async def backends(store: SqlStore) -> set[int]:
    """Return the processes of PostgreSQL that serve two connections of the pool."""
    prepared = Prepared(select(func.pg_backend_pid().label("pid")))
    async with store.database.engine.connect() as one, store.database.engine.connect() as another:
        return {(await prepared.rows(each, {}))[0]["pid"] for each in (one, another)}


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        *(pytest.param(Text, value, id=f"text-{name}") for name, value in VALUES.items()),
        *(pytest.param(Instant(), value, id=f"instant-{name}") for name, value in INSTANTS.items()),
        *(pytest.param(Document, value, id=f"document-{name}") for name, value in DOCUMENTS.items()),
        pytest.param(BigInteger, 2**63 - 1, id="largest-number"),
    ],
)
async def test_values_come_back_as_they_were(store: SqlStore, type_: Any, value: Any) -> None:
    """Whatever they look like, alone and with others, and as SQLAlchemy returns them."""
    prepared, parameters = echo(type_), {"value": value, "of no concern": object()}
    plain = {"value": value}

    async with store.database.transaction() as connection:
        alone = await prepared.rows(connection, parameters)
        (first,), (second,) = await prepared.each(connection, [parameters, parameters])
        (usual,) = (await connection.execute(prepared.statement, plain)).mappings().all()

    assert [{"value": value, "constant": "100 % $1 :value"}] == [dict(row) for row in alone]
    assert dict(first) == dict(second) == dict(alone[0]) == dict(usual)


async def test_each_has_rows_of_its_own(store: SqlStore) -> None:
    """None, one or several; in the order in which they were asked for."""
    numbers = select(literal(1, Integer).label("n")).union_all(select(literal(2, Integer))).subquery("numbers")
    prepared = Prepared(
        select(numbers.c.n).where(numbers.c.n <= bindparam("most", type_=Integer)).order_by(numbers.c.n)
    )

    async with store.database.transaction() as connection:
        found = await prepared.each(connection, [{"most": most} for most in (2, 0, 1)])

    assert [[1, 2], [], [1]] == [[row["n"] for row in rows] for rows in found]


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
async def test_a_constraint_is_told_as_sqlalchemy_tells_it(store: SqlStore, *, together: bool) -> None:
    """By the same class, so that whoever catches one need not know who sent the statement."""
    columns = {"flush_id": bindparam("name", type_=Text), "at": 0}
    prepared = Prepared(insert(usage_flushes).values(columns).returning(usage_flushes.c.flush_id))
    asked = [{"name": "a"}, {"name": "sesame"}, {"name": "sesame"}]

    async def run() -> None:
        async with store.database.transaction() as connection:
            if together:
                await prepared.each(connection, asked)
            for one in asked:
                await prepared.rows(connection, one)

    with pytest.raises(IntegrityError) as error:
        await run()

    assert not error.value.connection_invalidated


async def test_what_a_dead_connection_leaves_is_replaced(postgres_url: str) -> None:
    """It is told to be dead, and the pool gives none that is as old."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        old = await backends(store)
        run_sql(postgres_url, *(f"SELECT pg_terminate_backend({pid}, 1000)" for pid in old))
        with pytest.raises(OperationalError) as error:
            await backends(store)
        new = await backends(store)
    finally:
        await store.close()

    assert error.value.connection_invalidated
    assert not old & new


async def test_another_fault_leaves_the_connection(store: SqlStore) -> None:
    """What a statement does wrong is no reason to connect anew."""
    prepared = Prepared(select(func.no_such_function(bindparam("value", type_=Text)).label("value")))

    async with store.database.engine.connect() as connection:
        with pytest.raises(DBAPIError) as error:
            await prepared.rows(connection, {"value": "sesame"})
        assert not connection.invalidated

    assert "sesame" not in str(error.value)
