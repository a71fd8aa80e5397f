"""The README of each example: short, and what it shows is what happens."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from string import Template

import pytest

from tests.support.products import EVERY_EXAMPLE, EXAMPLES, Product
from tests.support.stack import Answer, send

BASE = "http://127.0.0.1:10000"
MAX_LINES = 60


def block(name: str, language: str) -> list[str]:
    """Return the lines of a README's block in a language."""
    text = (EXAMPLES / name / "README.md").read_text()
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return str(found).splitlines()


def samples(name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each curl line with the lines it is said to print; `…` stands for anything."""
    lines = block(name, "console")
    starts = [number for number, text in enumerate(lines) if text.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start].removeprefix("$ "), lines[start + 1 : end]


def curl(product: Product, command: str, variables: Mapping[str, str]) -> Answer:
    """Send what the command line would."""
    program, *words = shlex.split(Template(command).substitute(variables))
    assert (program, words.pop(0)) == ("curl", "-i")
    method, host, headers = "GET", product.facts.hosts[product.default_environment], []
    while words[0] in ("-X", "-H"):
        option, value = words.pop(0), words.pop(0)
        if option == "-X":
            method = value
            continue
        header, _, text = value.partition(": ")
        if header == "Host":
            host = text
        else:
            headers.append((header, text))
    (url,) = words
    assert url.startswith(BASE)
    return send(product.stack.address, method, url.removeprefix(BASE), headers, host=host)


def printed(answer: Answer) -> list[str]:
    """Return what `curl -i` would print of an answer, line by line."""
    start = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"
    return [start, *(f"{name}: {value}" for name, value in answer.headers.items()), *answer.body.decode().splitlines()]


@pytest.mark.products(*EVERY_EXAMPLE)
@pytest.mark.databases("sqlite")
def test_the_readme_shows_what_happens(product: Product) -> None:
    """Keys made by its commands, sent by its curl lines, get its answers."""
    variables: dict[str, str] = {}
    for text in block(product.name, "sh"):
        assigned = re.fullmatch(r"(?:(?P<name>[A-Z]+)=\$\()?authsvc (?P<words>(?:org|key) .*?)\)?", text)
        if assigned is not None:
            done = product.stack.cli(*shlex.split(assigned["words"]))
            assert done.returncode == 0, done.stderr
            variables |= {assigned["name"]: done.stdout.strip()} if assigned["name"] else {}

    for command, expected in samples(product.name):
        found = printed(curl(product, command, variables))
        assert expected[0] == found[0]
        for text in expected:
            pattern = re.escape(text).replace("…", ".*")
            assert any(re.fullmatch(pattern, line) for line in found), (command, text, found)


@pytest.mark.parametrize("name", EVERY_EXAMPLE)
def test_envoy_asks_where_the_readme_has_the_service_listen(name: str) -> None:
    """At the fast listener, which is for the Envoy beside it."""
    (asked,) = re.findall(
        r"address: 127\.0\.0\.1, port_value: (500[0-9]+)", (EXAMPLES / name / "envoy.yaml").read_text()
    )

    assert f"export AUTHSVC_FAST_LISTEN=127.0.0.1:{asked}   # where envoy.yaml asks" in block(name, "sh")


@pytest.mark.parametrize("name", EVERY_EXAMPLE)
def test_a_readme_is_short_and_has_three_samples(name: str) -> None:
    """What is long is not read."""
    assert len((EXAMPLES / name / "README.md").read_text().splitlines()) <= MAX_LINES
    assert len(list(samples(name))) == 3


def test_every_example_has_a_readme_and_an_envoy_yaml() -> None:
    """And no folder is forgotten here."""
    for name in ("authsvc.yaml", "envoy.yaml", "README.md"):
        assert sorted(path.parent.name for path in EXAMPLES.glob(f"*/{name}")) == sorted(EVERY_EXAMPLE)
