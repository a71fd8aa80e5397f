"""A page costs the same wherever it is in a list, however long the list is and was. Either database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from authsvc.ports import KeyFilter
from authsvc.stores import queries
from tests.support.databases import run_sql
from tests.support.stored import organization_id

MANY = 20_000
ORGANIZATIONS = 100
PAGE = 101

FILTERS = [
    pytest.param(KeyFilter(), "ix_keys_list_live", id="all"),
    pytest.param(KeyFilter(api="api1"), "ix_keys_list_api", id="api"),
    pytest.param(KeyFilter(organization_id=organization_id(7)), "ix_keys_list_organization", id="organization"),
    pytest.param(KeyFilter(kind="rare"), "ix_keys_list_kind", id="kind"),
    pytest.param(KeyFilter(environment="rare"), "ix_keys_list_environment", id="environment"),
    pytest.param(KeyFilter(api="api0", kind="rare"), "ix_keys_list_api_kind", id="api-and-kind"),
    pytest.param(
        KeyFilter(api="api0", environment="rare"),
        "ix_keys_list_api_environment",
        id="api-and-environment",
    ),
]


def furnish(url: str) -> None:
    """Store many keys, a third of them deleted, few of a rare kind and environment."""
    is_sqlite = url.startswith("sqlite")
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY - 1}) "
    text, epoch = ("printf('%026d', {})", "0") if is_sqlite else ("lpad(({})::text, 26, '0')", "to_timestamp(0)")
    digest = "randomblob(32)" if is_sqlite else "sha256(i::text::bytea)"
    run_sql(
        url,
        f"""{numbers} INSERT INTO organizations
            (id, name, status, metadata, created_at, updated_at, suspend_reason, version)
            SELECT 'org_' || {text.format("i")}, 'o' || i, 'active', '{{}}', {epoch}, {epoch}, '', 1
            FROM n WHERE i < {ORGANIZATIONS}""",
        f"""{numbers} INSERT INTO keys
            (id, digest, pepper_id, algorithm, api, organization_id, kind, environment, scopes, full_access, limits,
             metadata, revoke_reason, name, hint, created_at, created_by, updated_at, version, deleted_at)
            SELECT 'key_' || {text.format("i")}, {digest}, 'p1', 'hmac', 'api' || (i % 4),
                   'org_' || {text.format(f"i % {ORGANIZATIONS}")},
                   CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'secret' END,
                   CASE WHEN i % 1000 = 4 THEN 'rare' ELSE 'live' END,
                   '[]', false, '[]', '{{}}', '', 'k', 'h', {epoch}, 'cli', {epoch}, 1,
                   CASE WHEN i % 3 = 0 THEN {epoch} END
            FROM n""",
        "ANALYZE",
    )


@pytest.mark.parametrize(("where", "index"), FILTERS)
def test_a_page_of_keys_is_all_that_is_read(database_url: str, where: KeyFilter, index: str) -> None:
    """It starts behind the last id and stops when full; nothing else of the table is looked at."""
    furnish(database_url)
    on_sqlite = database_url.startswith("sqlite")
    statement = queries.key_page(where, PAGE, f"key_{MANY // 2:026}").compile(
        dialect=sqlite.dialect() if on_sqlite else postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    if on_sqlite:
        plan = [row[-1] for row in run_sql(database_url, f"EXPLAIN QUERY PLAN {statement}")]
        # It tells no numbers, but that an index leads to the first key and gives the order of the rest:
        # a sort of its own would stand between these lines.
        assert plan[1].startswith(f"SEARCH keys USING INDEX {index} ")
        assert plan[2] == "SCAN page"
    else:
        plan = run_sql(database_url, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")[0][0]
        assert rows_read(plan[0]["Plan"], "keys") <= 5 * PAGE


def rows_read(node: dict[str, Any], table: str) -> float:
    """Sum up the rows of a table that a plan has looked at."""
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if node.get("Relation Name") == table else 0
    return float(own * node["Actual Loops"]) + sum(rows_read(child, table) for child in node.get("Plans", ()))
