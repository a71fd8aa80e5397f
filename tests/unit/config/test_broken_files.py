"""Every way to get a configuration wrong has one exact message, with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from authsvc.config import ConfigError, load, read

GOOD = """\
apis:
  shop:
    credential: {bearer: true}
    kinds:
      secret: {default: true, scopes: all, origins: optional}
      browser: {scopes: [orders:read], origins: required}
    keys:
      classes:
        - {prefix: shop_, kind: secret}
        - {prefix: shop_pub_, kind: browser}
    scopes:
      orders:read: {}
      orders:write: {}
    routes:
      - {method: GET, path: /health, public: true}
      - {method: GET, path: /orders, scopes: [orders:read]}
      - {method: POST, path: "/orders/{order}", scopes: [orders:write]}
"""

CASES = yaml.safe_load(Path(__file__).with_name("broken_files.yaml").read_text())


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_a_broken_file_is_refused_with_its_line(case: dict[str, Any]) -> None:
    """One change to a good file is told in exactly these lines."""
    assert case["old"] in GOOD
    broken = GOOD.replace(case["old"], case["new"], 1)

    with pytest.raises(ConfigError) as refused:
        read(broken.encode(), Path("shop.yaml"))

    assert str(refused.value).splitlines() == case["told"]


def test_the_good_file_is_good() -> None:
    """What the table above breaks works unbroken."""
    config = read(GOOD.encode(), Path("shop.yaml"))

    assert list(config.apis.by_name) == ["shop"]


def test_all_problems_are_told_at_once_in_order_of_lines() -> None:
    """Mistakes of shape in one API do not hide what does not fit together in another."""
    other = GOOD.removeprefix("apis:\n").replace("  shop:", "  stall:").replace("[orders:write]", "[orders:wipe]")
    broken = GOOD.replace("method: POST", "method: post").replace("default: true", "default: 1") + other

    with pytest.raises(ConfigError) as refused:
        read(broken.encode(), Path("shop.yaml"))

    assert [(problem.line, problem.path) for problem in refused.value.problems] == [
        (5, "apis.shop.kinds.secret.default"),
        (17, "apis.shop.routes[2].method"),
        (33, "apis.stall.routes[2].scopes[0]"),
    ]


def test_two_apis_cannot_share_a_host() -> None:
    """A host leads to one API."""
    first = GOOD.replace("    keys:\n", "    hosts: [shop.example]\n    keys:\n")
    both = first + first.removeprefix("apis:\n").replace("  shop:", "  stall:")

    with pytest.raises(ConfigError) as refused:
        read(both.encode(), Path("shop.yaml"))

    assert (
        str(refused.value) == "shop.yaml:24: apis.stall.hosts[0]: the host 'shop.example' already belongs to apis.shop"
    )


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        pytest.param(b"", "1: the file is empty", id="empty"),
        pytest.param(b"# nothing\n", "1: the file is empty", id="comment"),
        pytest.param(b"[]", "1: must be a mapping", id="list"),
        pytest.param(b"apis: []", "1: apis: must be a mapping", id="apis-a-list"),
        pytest.param(b"apis: {}", "1: apis: needs at least 1 entries, has 0", id="no-api"),
        pytest.param(b"apis: \xff", "1: not UTF-8 text", id="not-utf-8"),
        pytest.param(b"x: " + b"[" * 100 + b"]" * 100, "1: nested deeper than 24 levels", id="deep"),
        pytest.param(b"#" * (1024 * 1024 + 1), "1: larger than 1048576 bytes", id="large"),
        pytest.param(b"? [a]\n: b\n", "1: keys must be text; quote this one", id="list-as-key"),
    ],
)
def test_text_that_is_no_configuration(raw: bytes, told: str) -> None:
    """Files that are not even a mapping are refused in one line."""
    with pytest.raises(ConfigError) as refused:
        read(raw, Path("shop.yaml"))

    assert f"shop.yaml:{told}" == str(refused.value).split("\n")[0]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is a configuration error like any other."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "authsvc.yaml")

    assert f"{tmp_path}/authsvc.yaml:1: cannot be read: No such file or directory" == str(refused.value)


def test_an_alias_bomb_costs_nothing() -> None:
    """Aliases are refused at the first, so nothing is ever multiplied."""
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

    with pytest.raises(ConfigError) as refused:
        read(bomb.encode(), Path("shop.yaml"))

    assert str(refused.value) == "shop.yaml:2: aliases (*) are not supported; write the value out"
