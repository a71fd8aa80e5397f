"""Two instances behind one Envoy are restarted in turn, under load: no request is refused."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.cli.demo import envoy, process, sample, upstream
from tests.docs.markdown import only
from tests.support.stack import TIMEOUT

RESTARTS = int(os.environ.get("AUTHSVC_TEST_RESTARTS", "4"))
CLIENTS = 4
DRAIN = "1"  # seconds; ten times what Envoy needs to see it here


@dataclass
class Instance:
    """One of the two: its environment and its process."""

    home: Path
    environ: dict[str, str]
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it serves."""
        with (self.home / "log").open("ab") as log:
            self.running = subprocess.Popen(
                process.command("serve", "--drain", DRAIN), env=self.environ, stdout=log, stderr=log
            )
        process.wait_until_serving(self.running, self.environ["AUTHSVC_LISTEN"], self.home / "log")

    def stop(self, by: signal.Signals) -> int:
        """End it; the exit status."""
        assert self.running is not None
        self.running.send_signal(by)
        return self.running.wait(2 * TIMEOUT)


@dataclass
class Load:
    """Clients that ask Envoy without a pause, and what they were told."""

    address: str
    key: str
    told: Counter[int | str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to stop; a connection is kept open."""
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT)
        while not self.over.is_set():
            try:
                connection.request("GET", "/v1/orders", headers={"x-api-key": self.key})
                answer = connection.getresponse()
                answer.read()
                self.told[answer.status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.told[type(error).__name__] += 1
                connection.close()
        connection.close()

    def waited_for(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        enough = self.told.total() + more
        end = time.monotonic() + 6 * TIMEOUT
        while self.told.total() < enough:
            assert time.monotonic() < end, self.told
            self.over.wait(0.005)


def bootstrap(sockets: list[str], upstream_port: int) -> dict[str, Any]:
    """Return the documented Envoy, with both instances and health checks ten times as often."""
    document = envoy.bootstrap(only("docs/envoy.md", "yaml envoy"), 0, {"authsvc": "", "upstream": upstream_port})
    (cluster,) = (one for one in document["static_resources"]["clusters"] if one["name"] == "authsvc")
    cluster["health_checks"][0] |= {"interval": "0.1s", "no_traffic_interval": "0.1s"}
    endpoints = [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in sockets]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    return document


@contextmanager
def loaded(home: Path, url: str) -> Iterator[tuple[list[Instance], Load]]:
    """Run two instances on one database behind one Envoy, under load."""
    config = home / "authsvc.yaml"
    shutil.copy(Path(sample.__file__).with_name("authsvc.yaml"), config)
    instances = []
    for name in "ab":
        folder = home / name
        folder.mkdir()
        extra = {"AUTHSVC_DATABASE_URL": url, "AUTHSVC_PEPPER_FILE": str(home / "peppers.yaml")}
        instances.append(Instance(folder, process.environment(folder, config, extra)))
    first = instances[0].environ
    subprocess.run(process.command("init"), env=first, check=True, capture_output=True, timeout=60)
    with ExitStack() as stack:
        for instance in instances:
            stack.callback(lambda instance=instance: instance.stop(signal.SIGKILL))
            instance.start()
        keys = sample.create(first["AUTHSVC_ADMIN_LISTEN"], instances[0].home / "admin.key")
        key = next(dict(line.headers)["x-api-key"] for line in sample.lines(keys) if line.status == http.HTTPStatus.OK)
        port = stack.enter_context(upstream.upstream())
        sockets = [process.socket_for_envoy(instance.environ) for instance in instances]
        load = Load(stack.enter_context(envoy.envoy(bootstrap(sockets, port), home)), key)
        clients = [threading.Thread(target=load.run) for _ in range(CLIENTS)]
        stack.callback(lambda: [client.join() for client in clients])
        stack.callback(load.over.set)
        for client in clients:
            client.start()
        load.waited_for(50)
        yield instances, load


@contextmanager
def long_call(instance: Instance) -> Iterator[None]:
    """Have a stream open on the standard listener until it ends by itself, or the block does."""
    with grpc.insecure_channel(instance.environ["AUTHSVC_LISTEN"]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        next(watch)
        threading.Timer(1.5, watch.cancel).start()  # half a second longer than the drain
        yield
        watch.cancel()


def test_nobody_is_refused(tmp_path: Path, postgres_url: str) -> None:
    """Each instance says that it goes, is left, goes and returns; every request meanwhile is allowed, in one try."""
    with loaded(tmp_path, postgres_url) as (instances, load):
        statuses = []
        for number in range(RESTARTS):
            instance = instances[number % 2]
            with long_call(instance):
                statuses.append(instance.stop(signal.SIGTERM))
            instance.start()
            load.waited_for(200)  # Envoy asks both again
        told = dict(load.told)

    assert [0] * RESTARTS == statuses
    assert list(told) == [200]


def test_without_a_drain_somebody_is_refused(tmp_path: Path, postgres_url: str) -> None:
    """The control arm: instances that end at once."""
    with loaded(tmp_path, postgres_url) as (instances, load):
        for number in range(20):
            instances[number % 2].stop(signal.SIGKILL)
            instances[number % 2].start()
            load.waited_for(200)
            if len(load.told) > 1:
                break
        told = dict(load.told)

    assert told.keys() > {200}
