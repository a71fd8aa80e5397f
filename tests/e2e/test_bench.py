"""The benchmark runs against a real service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckResponse
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from bench import golang, servers
from bench.figures import BenchError
from bench.request import check_request, refused_with

ROOT = Path(__file__).parents[2]


def test_a_measure_of_a_real_service_leaves_its_figures(tmp_path: Path) -> None:
    """The shortest one: from the start to the first answer, once."""
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "--only", "start", "--rounds", "1", "--json", str(file)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["samples"]["start"]["authsvc serve"]["seconds"][0] > 0
    assert "| seconds to the first answer | `start` | ≤ 1 |" in done.stdout


def test_the_program_in_go_answers_as_the_service_does(tmp_path: Path) -> None:
    """An allow has the same headers, takes the credential away and says what it is about; a stranger's key is a 401."""
    try:
        folder = golang.build(tmp_path)
    except BenchError as error:
        pytest.skip(str(error))  # nobody else needs what it is made of, nor a way to load that
    if folder is None:
        pytest.skip("Go is not installed")

    with servers.comparator(folder, "handwritten", "-key", "vk_live_known") as server:
        answer = CheckResponse.FromString(servers.call(server, check_request("vk_live_known")))
        stranger = servers.call(server, check_request("vk_live_strange"))

    assert set(IDENTITY_HEADERS) == {header.header.key for header in answer.ok_response.headers}
    assert list(answer.ok_response.headers_to_remove) == ["x-api-key"]
    assert len(answer.dynamic_metadata.fields) == 4
    assert refused_with(stranger) == 401
