"""What the service's roles may do in PostgreSQL: `deploy/grants.sql`, under which the other tests here run too."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import errors

from authsvc.domain.errors import PermissionDeniedError
from authsvc.domain.usage import DAY
from authsvc.stores import schema
from authsvc.stores.sql import SqlStore
from authsvc.stores.tables import metadata
from tests.contract.stores.test_changes import furnish
from tests.support.databases import GRANTS, as_role, run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import ACTOR, new_organization

# Rows of these are never changed, by the service, once they are there.
FIXED = {
    "audit_events": "seq",
    "audit_keys": "key_id",
    "auth_change": "seq",
    "pepper_checks": "pepper_id",
    "alembic_version": "version_num",
    "schema_info": "id",
}


def test_every_table_is_granted() -> None:
    """One that a migration adds is not forgotten."""
    granted = re.findall(r"^GRANT ([A-Z, ]+) ON (.+) TO authsvc;$", GRANTS.read_text(), re.MULTILINE)
    tables = [table for _, names in granted for table in names.split(", ")]

    assert sorted({*metadata.tables, "alembic_version"}) == sorted(tables)


@pytest.mark.parametrize("table", FIXED)
@pytest.mark.parametrize("role", ["authsvc", "authsvc_maintenance"])
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_the_trail_is_append_only(
    postgres_url: str, request: pytest.FixtureRequest, table: str, role: str, verb: str
) -> None:
    """Nobody edits what was written down; maintenance alone removes of the trail, the service of the log of changes."""
    statement = {
        "UPDATE": f"UPDATE {table} SET {FIXED[table]} = {FIXED[table]}",
        "DELETE": f"DELETE FROM {table}",
        "TRUNCATE": f"TRUNCATE {table}",
    }[verb]
    allowed = (table, role, verb) in {
        ("audit_events", "authsvc_maintenance", "DELETE"),
        ("auth_change", "authsvc", "DELETE"),
    }
    with psycopg.connect(as_role(postgres_url, role, request)) as connection:
        if allowed:
            connection.execute(statement.encode())
            return
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    ["SELECT digest FROM keys", "SELECT * FROM organizations", "UPDATE keys SET revoked_at = NULL", "DELETE FROM keys"],
)
def test_maintenance_sees_no_keys(postgres_url: str, request: pytest.FixtureRequest, statement: str) -> None:
    """What a nightly job needs is not the right to read digests or to change anything else."""
    with (
        psycopg.connect(as_role(postgres_url, "authsvc_maintenance", request)) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


async def test_maintenance_can_prune(postgres_url: str, request: pytest.FixtureRequest) -> None:
    """With all that the command does, the peppers' comparison included."""
    service = SqlStore.open(as_role(postgres_url, "authsvc", request), PEPPERS)
    maintenance = SqlStore.open(as_role(postgres_url, "authsvc_maintenance", request), PEPPERS)
    try:
        await service.verify_peppers(PEPPERS)
        await furnish(service)
        run_sql(postgres_url, "UPDATE audit_events SET at = at - interval '2 days'")
        await schema.require(maintenance.database)
        await maintenance.verify_peppers(PEPPERS)
        before = run_sql(postgres_url, "SELECT count(*) FROM audit_events")
        with pytest.raises(PermissionDeniedError, match="maintenance"):
            await service.prune_audit(DAY)

        assert before == run_sql(postgres_url, "SELECT count(*) FROM audit_events")
        assert await maintenance.prune_audit(DAY) == 5
        await service.create_organization(new_organization(9), ACTOR)
        assert (await service.verify_audit(PEPPERS, None)).verified == 2
    finally:
        await service.close()
        await maintenance.close()
