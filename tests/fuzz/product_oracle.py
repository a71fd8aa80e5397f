"""
What may pass, said a second time and differently: from the YAML of an example and from strings alone.

`permits` shares no code with the service. Where readers of a path could differ it asks for every
reading, so it may be stricter than the service about odd paths, and is never laxer.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from tests.fuzz.whole_maps import OF_EXTENSIONS, OF_HEADERS, whole

EXAMPLES = Path(__file__).parents[2] / "examples"
PRODUCTS = ("moveris", "op", "veridia", "verifa")


@dataclass(frozen=True)
class Holder:
    """What the test knows of one key, in plain text."""

    text: str
    kind: str
    environment: str | None
    scopes: frozenset[str] | None  # as granted; None: full access
    origins: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    dead: str = ""  # why it never works
    able: bool = False  # nothing about it is restricted, but by its kind


@dataclass(eq=False)
class Product:
    """One example's section, and the keys that exist."""

    name: str
    section: dict[str, Any] = field(init=False)
    holders: dict[str, Holder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.section = yaml.safe_load((EXAMPLES / self.name / "authsvc.yaml").read_text())["apis"][self.name]
        # Where an example leaves it to Envoy to name the environment, a host may do so here as well.
        for name, body in self.section.get("environments", {}).items():
            body.setdefault("hosts", [f"{name}.{self.name}.example"])

    @property
    def credential(self) -> str:
        """Return the header that carries keys."""
        header: str = self.section["credential"].get("header", "authorization")
        return header

    @property
    def hops(self) -> int:
        """Return how many proxies in front are the product's own, as it says for `x-forwarded-for`."""
        client = self.section.get("client_address", {"header": "x-forwarded-for", "trusted_hops": 0})
        assert client["header"] == "x-forwarded-for"
        return int(client["trusted_hops"])

    def routes(self, method: str, path: str) -> list[dict[str, Any]]:
        """Return every route whose pattern the text of a path matches."""
        return [
            route
            for route in self.section["routes"]
            if method in _methods(route) and re.fullmatch(_pattern(route["path"]), path, re.DOTALL)
        ]

    def ceiling(self, kind: str) -> frozenset[str] | None:
        """Return what a kind can hold; None: everything."""
        scopes = self.section["kinds"][kind]["scopes"]
        return None if scopes == "all" else frozenset(scopes)

    def environment(self, host: str, named: str | None) -> str | None:
        """Return the environment that the operator's word or the host is for."""
        environments = self.section.get("environments", {})
        if named is not None:
            return named if named in environments else None
        bare = re.sub(r":[0-9]+\Z", "", host).lower() if host.isascii() else host
        return next((name for name, body in environments.items() if bare in body["hosts"]), None)

    def place(self, environment: str | None, number: int) -> tuple[str, str | None]:
        """Return a host and the operator's word, mostly for this environment; one of them may name none."""
        environments = self.section.get("environments", {})
        others = [name for name in environments if name != environment]
        at = others[number % len(others)] if others and number % 8 == 7 else environment
        named = at if number % 3 else None
        hosts = environments[at]["hosts"] if at is not None and named is None else ["any.example"]
        return str(hosts[number % len(hosts)]) + (":443" if number % 2 else ""), named


def permits(product: Product, message: CheckRequest) -> bool:
    """Whether the request may pass: public, or with a key that is good for exactly this."""
    http = message.attributes.request.http
    headers = _headers(message)
    readings = _readings(http.path)
    wanted = [product.routes(http.method, reading) for reading in readings]
    if all(routes and all(route.get("public") for route in routes) for routes in wanted):
        return True
    if http.method == "OPTIONS" and "origin" in headers:
        asked = headers.get("access-control-request-method", [""])[0]
        targets = [product.routes(asked, reading) for reading in readings]
        if all(routes and all(r.get("preflight") == "allow" for r in routes) for routes in targets):
            return True
    holder = _holder(product, headers)
    if holder is None or holder.dead or not all(wanted):
        return False
    named = whole(message.attributes, OF_EXTENSIONS, message.attributes.context_extensions).get("environment")
    if "environments" in product.section and product.environment(http.host, named) != holder.environment:
        return False
    required = {scope for routes in wanted for route in routes for scope in route["scopes"]}
    return (
        _holds(product, holder, required)
        and _from(product, holder, headers.get("origin", []))
        and _at(holder, _client(product, headers, message.attributes.source.address.socket_address.address))
    )


def _methods(route: dict[str, Any]) -> list[str]:
    method = route["method"]
    return [method] if isinstance(method, str) else method


def _pattern(path: str) -> str:
    return re.sub(r"\\\{[^/]*\\\}", "[^/]+", re.escape(path)).replace(r"\*\*", ".+")


def _readings(target: str) -> set[str]:
    """Return a path as a server may read it: decoded once or twice, without parameters, normalized."""
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    readings = {path, unquote(path), unquote(unquote(path))}
    readings |= {re.sub(r";[^/]*", "", reading) for reading in readings}
    readings |= {reading.replace("\\", "/") for reading in readings}
    # A trailing slash is part of a path here; `normpath` drops it, and so keeps it out of the comparison.
    return readings | {
        posixpath.normpath(r) for r in readings if r.startswith("/") and posixpath.normpath(r) + "/" != r
    }


def _headers(message: CheckRequest) -> dict[str, list[str]]:
    http = message.attributes.request.http
    if read := whole(http, OF_HEADERS, http.headers):
        return {name: [value] for name, value in read.items()}
    found: dict[str, list[str]] = {}
    for header in http.header_map.headers:
        value = header.raw_value.decode() if header.raw_value else header.value
        found.setdefault(re.sub("[A-Z]", lambda match: match[0].lower(), header.key), []).append(value)
    return found


def _holder(product: Product, headers: dict[str, list[str]]) -> Holder | None:
    values = headers.get(product.credential, [])
    if len(values) != 1:
        return None
    if product.section["credential"].get("bearer"):
        match = re.fullmatch(r"[Bb][Ee][Aa][Rr][Ee][Rr] (.*)", values[0], re.DOTALL)
        return product.holders.get(match[1]) if match else None
    return product.holders.get(values[0])


def _holds(product: Product, holder: Holder, required: set[str]) -> bool:
    if holder.kind not in product.section["kinds"]:
        return False
    ceiling = product.ceiling(holder.kind)
    held = holder.scopes if ceiling is None else (ceiling if holder.scopes is None else holder.scopes & ceiling)
    if ceiling is not None and not required:
        return False
    return held is None or required <= held


def _from(product: Product, holder: Holder, origins: list[str]) -> bool:
    if holder.origins is None:
        return product.section["kinds"][holder.kind]["origins"] != "required"
    if len(origins) != 1 or not origins[0].isascii():
        return False
    said = _with_port(origins[0].lower())
    for entry in holder.origins:
        listed = _with_port(entry if "://" in entry else f"https://{entry}")
        if said == listed and "*" not in listed:
            return True
        labels = r"(?:[a-z0-9-]+\\.)+"
        if "*." in listed and re.fullmatch(re.sub(r"\\\*\\\.", labels, re.escape(listed)), said):
            return True
    return False


def _with_port(origin: str) -> str:
    if re.search(r":[0-9]+\Z", origin):
        return origin
    return origin + (":443" if origin.startswith("https:") else ":80")


def _client(product: Product, headers: dict[str, list[str]], peer: str) -> str:
    """Return the peer, or what the outermost proxy of ours has seen; nothing where that is not told."""
    if product.hops == 0:
        return peer
    entries = ",".join(headers.get("x-forwarded-for", [])).split(",")
    return entries[-product.hops].strip(" \t") if len(entries) >= product.hops else ""


def _at(holder: Holder, peer: str) -> bool:
    if holder.networks is None:
        return True
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if "%" in peer:  # a zone belongs to one machine: nobody can list it
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in ipaddress.ip_network(network) for network in holder.networks)
