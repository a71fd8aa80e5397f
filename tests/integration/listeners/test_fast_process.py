"""The fast listener of a real process: what it serves, and what stops the start."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from authsvc_client.v1.auth_service_pb2 import AuthorizeRequest
from authsvc_client.v1.auth_service_pb2_grpc import AuthServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.cli.demo import process
from tests.integration.listeners.test_drain import CONFIG, NOBODY
from tests.support.doors import CHECK, TIMEOUT, Answer

TOKEN = "a-token-of-forty-characters-for-the-tests"


def prepared(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a service that has been set up in a folder."""
    home.mkdir(exist_ok=True)
    config = home / "authsvc.yaml"
    config.write_text(CONFIG)
    environ = process.environment(home, config, variables)
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True, timeout=60)
    return environ


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A service with a fast listener, and its environment."""
    home = tmp_path_factory.mktemp("fast")
    environ = prepared(home, AUTHSVC_FAST_LISTEN=f"unix:{home}/fast.sock")
    with process.service(environ, home / "log"):
        yield environ


def test_the_data_plane_is_there(running: dict[str, str]) -> None:
    """Checks, a backend's questions and health are answered; the process says where."""
    target = running["AUTHSVC_FAST_LISTEN"]
    path = Path(target.removeprefix("unix:"))
    with grpc.insecure_channel(target) as channel:
        check = Answer.of(channel.unary_unary(CHECK)(NOBODY, timeout=TIMEOUT))
        asked = AuthorizeRequest(api="shop", credential="x", method="GET", path="/v1/things")
        may = AuthServiceStub(channel).Authorize(asked, timeout=TIMEOUT)
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/authsvc.v1.KeyService/CreateKey")(b"", timeout=TIMEOUT)

    assert check.outcome == (16, 401, "unauthorized")
    assert may.decision.reason == "invalid_key"
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert f"fast {target}" in (path.parent / "log").read_text()


def test_a_second_process_does_not_take_the_socket(running: dict[str, str], tmp_path: Path) -> None:
    """It exits with 2 and one line, and the first one goes on."""
    target = running["AUTHSVC_FAST_LISTEN"]
    refused = started(prepared(tmp_path / "second", AUTHSVC_FAST_LISTEN=target))
    with grpc.insecure_channel(target) as channel:
        check = Answer.of(channel.unary_unary(CHECK)(NOBODY, timeout=TIMEOUT))

    assert (2, f"authsvc: {target}: another authsvc listens here\n") == refused
    assert check.outcome == (16, 401, "unauthorized")


def test_a_port_in_use(tmp_path: Path) -> None:
    """One line, and nothing of the library's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = started(prepared(tmp_path, AUTHSVC_FAST_LISTEN=address))

    assert (2, f"authsvc: cannot listen on {address}: the address is in use or not ours\n") == refused


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        pytest.param(None, 0o600, "there is no token file", id="missing"),
        pytest.param("short", 0o600, "must hold one token of 32 to 512 letters, digits and -._~+/=", id="short"),
        pytest.param(TOKEN + "\n" + TOKEN, 0o600, "must hold one token of 32 to 512 letters", id="two-lines"),
        pytest.param(TOKEN, 0o644, "others may read or write it (mode 0644); run chmod 0600", id="readable"),
    ],
)
def test_a_token_file_that_cannot_be_used(content: str | None, mode: int, told: str, tmp_path: Path) -> None:
    """One line says why, and nothing of the token."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    status, said = started(prepared(tmp_path, AUTHSVC_FAST_LISTEN="127.0.0.1:0", AUTHSVC_FAST_TOKEN_FILE=str(file)))

    assert status == 2
    assert said.startswith(f"authsvc: {file}: {told}")
    assert len(said.splitlines()) == 1
    assert content is None or content not in said


def test_on_an_address_of_the_machine(tmp_path: Path) -> None:
    """With a token and the flag it listens elsewhere too, and answers who has the token."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "AUTHSVC_FAST_LISTEN": f"0.0.0.0:{port}",
        "AUTHSVC_FAST_TOKEN_FILE": str(file),
        "AUTHSVC_FAST_ALLOW_PLAINTEXT": "true",
    }
    with (
        process.service(prepared(tmp_path, **variables), tmp_path / "log"),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.unary_unary(CHECK)
        answer = call(NOBODY, timeout=TIMEOUT, metadata=(("authorization", f"Bearer {TOKEN}"),))
        with pytest.raises(grpc.RpcError) as refused:
            call(NOBODY, timeout=TIMEOUT)

    assert Answer.of(answer).outcome == (16, 401, "unauthorized")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert TOKEN not in (tmp_path / "log").read_text()


def started(environ: dict[str, str]) -> tuple[int, str]:
    """Start a service that must not start: its status and what it says, log lines apart."""
    done = subprocess.run(
        process.command("serve", "--drain", "0", "--log-level", "ERROR"),
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr
