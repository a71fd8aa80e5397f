"""The audit trail of a running service on PostgreSQL, under the roles of `deploy/grants.sql`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from authsvc.cli.demo import process
from tests.support.databases import as_role, run_sql
from tests.support.stack import running


def test_from_a_change_to_its_removal(
    tmp_path: Path, config: Path, bootstrap: str, postgres_url: str, request: pytest.FixtureRequest
) -> None:
    """Keys of a customer are revoked together and refused at once; the trail tells, verifies, and is pruned."""
    service, maintenance = (as_role(postgres_url, role, request) for role in ("authsvc", "authsvc_maintenance"))
    with running(tmp_path, config, bootstrap, database_url=service) as stack:
        made = [stack.create_key("shop", scopes=["orders:read"]) for _ in range(3)]
        headers = [[("x-api-key", each.secret)] for each in made]
        before = {stack.send("GET", "/v1/orders", each).status for each in headers}
        weak = stack.cli("key", "create", "--api", "authsvc", "--org", "authsvc-operators", "--name", "weak",
                         "--scope", "audit:read", "--secret-only").stdout.strip()  # fmt: skip
        revoked = stack.cli("key", "bulk-revoke", "--org", "acme", "--reason", "left us", "--yes")
        after = {stack.send("GET", "/v1/orders", each).status for each in headers}
        refused = subprocess.run(
            process.command("key", "list"),
            env={**stack.environ, "AUTHSVC_ADMIN_KEY": weak},
            capture_output=True,
            check=False,
            timeout=60,
        )
    # Refusals that wait are written when the service stops.
    verified = _run(stack.environ, "audit", "verify", "--json")
    anchor = json.loads(verified.stdout)["anchor"]
    run_sql(postgres_url, "UPDATE audit_events SET at = at - interval '100 days'")
    forbidden = _run(stack.environ, "audit", "prune", "--older-than", "90d", "--yes")
    pruned = _run(
        {**stack.environ, "AUTHSVC_DATABASE_URL": maintenance}, "audit", "prune", "--older-than", "90d", "--yes"
    )
    later = _run(stack.environ, "audit", "verify", "--anchor", anchor)

    assert (before, after) == ({200}, {401})
    assert revoked.stdout == "3 keys are revoked\n"
    assert (refused.returncode, verified.returncode) == (1, 0)
    assert (forbidden.returncode, "use the one for maintenance" in forbidden.stderr) == (1, True)
    assert (pruned.returncode, pruned.stdout) == (0, f"{anchor.partition(':')[0]} events were removed\n")
    assert (later.returncode, later.stdout.splitlines()[0]) == (0, "1 events are authentic")
    assert run_sql(postgres_url, "SELECT action FROM audit_events") == [("audit.prune",)]


def _run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        process.command(*arguments), env=environ, capture_output=True, text=True, check=False, timeout=60
    )
