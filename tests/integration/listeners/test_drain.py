"""SIGTERM on a real process: nobody's call is dropped."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.cli.demo import process
from tests.support.doors import CHECK, TIMEOUT, Answer, check_request

CONFIG = """
apis:
  shop:
    hosts: [api.shop.example]
    credential: {bearer: true}
    kinds:
      secret: {default: true, scopes: all, origins: optional}
    keys:
      classes:
        - {prefix: shop_, kind: secret}
    scopes:
      things:read: {description: Read things}
    routes:
      - {method: GET, path: /v1/things, scopes: [things:read]}
"""
NOBODY = check_request().SerializeToString()
SERVING, NOT_SERVING = (health_pb2.HealthCheckResponse.ServingStatus.Value(name) for name in ("SERVING", "NOT_SERVING"))


@contextmanager
def serving(home: Path, drain: str) -> Iterator[tuple[subprocess.Popen[bytes], grpc.Channel, Path]]:
    """Run `authsvc serve` on the embedded default."""
    config, log = home / "authsvc.yaml", home / "log"
    config.write_text(CONFIG)
    environ = process.environment(home, config, {})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True, timeout=60)
    with log.open("wb") as output:
        served = subprocess.Popen(process.command("serve", "--drain", drain), env=environ, stderr=output)
    try:
        with grpc.insecure_channel(environ["AUTHSVC_LISTEN"]) as channel:
            grpc.channel_ready_future(channel).result(60)
            yield served, channel, log
    finally:
        if served.poll() is None:
            served.kill()
        served.wait(TIMEOUT)


def test_nothing_is_dropped(tmp_path: Path) -> None:
    """Health says NOT_SERVING first, every call sent before clients have left is answered, the exit status is 0."""
    outcomes: Counter[object] = Counter()
    leave = threading.Event()
    with serving(tmp_path, "0.5") as (served, channel, log):
        call = channel.unary_unary(CHECK)

        def knock() -> None:
            while not leave.is_set():
                try:
                    outcomes[Answer.of(call(NOBODY, timeout=TIMEOUT)).outcome] += 1
                except grpc.RpcError as error:
                    outcomes[error.code()] += 1  # type: ignore[attr-defined]

        clients = [threading.Thread(target=knock) for _ in range(8)]
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        statuses = [next(watch).status]
        for client in clients:
            client.start()
        served.send_signal(signal.SIGTERM)
        statuses.append(next(watch).status)
        answered = sum(outcomes.values())
        while sum(outcomes.values()) < answered + 50:  # while it drains it still answers
            leave.wait(0.001)
        leave.set()
        for client in clients:
            client.join()
        watch.cancel()
        status = served.wait(2 * TIMEOUT)
    said = log.read_text()

    assert statuses == [SERVING, NOT_SERVING]
    assert set(outcomes) == {(16, 401, "unauthorized")}
    assert status == 0
    assert [word in said for word in ('"draining"', '"stopped"', '"error"', "Traceback")] == [True, True, False, False]
