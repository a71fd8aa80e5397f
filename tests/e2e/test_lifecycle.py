"""Starting, losing the database, stopping: what the process does when things around it change."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.cli.demo import process
from authsvc.servicers._envoy import authsvc_ext_authz_pb2 as pb
from authsvc.servicers._envoy import authsvc_ext_authz_pb2_grpc as pb_grpc
from tests.support.stack import TIMEOUT, running


def test_sigterm_drains_and_exits_cleanly(tmp_path: Path, config: Path, bootstrap: str) -> None:
    """Clients are told to leave, and the exit status is 0."""
    with running(tmp_path, config, bootstrap) as stack:
        watch = health_pb2_grpc.HealthStub(stack.channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        statuses = [next(watch).status]
        stack.service.send_signal(signal.SIGTERM)
        statuses.append(next(watch).status)
        watch.cancel()

        assert stack.service.wait(TIMEOUT) == 0
    assert statuses == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


def test_two_processes_cannot_serve_from_one_file(tmp_path: Path, config: Path, bootstrap: str) -> None:
    """The second would not hear of the first one's revocations, so it does not start."""
    with running(tmp_path, config, bootstrap) as stack:
        environ = {
            **stack.environ,
            "AUTHSVC_LISTEN": f"unix:{tmp_path}/second.sock",
            "AUTHSVC_ADMIN_LISTEN": f"unix:{tmp_path}/second-admin.sock",
        }
        second = _serve(environ)

    assert second.returncode == 2
    assert "another authsvc serves from this file" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"AUTHSVC_DATABASE_URL": "postgresql://u:hunter2@host:port/x"}, "URL", id="malformed-dsn"),
        pytest.param({"AUTHSVC_PEPPER_FILE": "/nonexistent/pepper"}, "pepper", id="no-pepper"),
        pytest.param({"AUTHSVC_CONFIG": "/nonexistent/authsvc.yaml"}, "authsvc.yaml", id="no-configuration"),
        pytest.param({"AUTHSVC_LISTEN": "0.0.0.0:0"}, "TLS", id="plaintext-for-everybody"),
        pytest.param({"AUTHSVC_LISTN": "127.0.0.1:0"}, "AUTHSVC_LISTEN", id="misspelt-variable"),
    ],
)
def test_a_doubtful_start_is_refused_in_one_line(
    tmp_path: Path, config: Path, change: dict[str, str], says: str
) -> None:
    """Exit status 2, one clear line, and never a password."""
    environ = process.environment(tmp_path, config, {})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True)

    refused = _serve(environ | change)

    assert refused.returncode == 2
    assert says in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "hunter2" not in refused.stderr


def test_without_a_database_the_service_answers_and_recovers(tmp_path: Path, config: Path, bootstrap: str) -> None:
    """Unknown keys get 503, never 401, until the database is there; then keys work by themselves."""
    with running(tmp_path, config, bootstrap) as stack:
        created = stack.create_key("shop", scopes=["orders:read"])
    database, away = tmp_path / "authsvc.db", tmp_path / "away"
    for file in tmp_path.glob("authsvc.db*"):
        if not file.name.endswith(".lock"):
            file.rename(away.with_name(file.name.replace("authsvc.db", "away")))
    environ = process.environment(tmp_path, config, {"AUTHSVC_DATABASE_URL": f"sqlite:///{database}"})
    log = (tmp_path / "second.log").open("wb")
    serving = subprocess.Popen(process.command("serve", "--drain", "0"), env=environ, stdout=log, stderr=log)
    try:
        with grpc.insecure_channel(environ["AUTHSVC_LISTEN"]) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True
            )
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            code, _ = _check(channel, created.secret)
            assert code == 14
            for file in tmp_path.glob("away*"):
                file.rename(database.with_name(file.name.replace("away", "authsvc.db")))
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()
            assert _check(channel, created.secret)[0] == 0
    finally:
        serving.terminate()
        assert serving.wait(30) == 0
        log.close()


def _check(channel: grpc.Channel, key: str) -> tuple[int, int]:

    request = pb.CheckRequest()
    request.attributes.context_extensions["api"] = "shop"
    http = request.attributes.request.http
    http.method, http.path = "GET", "/v1/orders"
    http.headers["x-api-key"] = key
    answer = pb_grpc.AuthorizationStub(channel).Check(request, timeout=TIMEOUT)
    return answer.status.code, answer.denied_response.status.code


def _serve(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        process.command("serve", "--drain", "0"), env=environ, capture_output=True, text=True, check=False, timeout=60
    )
