"""Generated requests: well-formed ones for a product, and the same with anything wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from tests.fuzz.product_oracle import Product

LISTED = ["https://app.example", "https://x.apps.example", "https://a.b.apps.example", "http://localhost:3000"]
UNLISTED = [
    "null",
    "",
    "*",
    "https://APP.example:443",
    "https://app.example.",
    "https://app.example/",
    "http://app.example",
    "https://apps.example",
    "https://evilapps.example",
    "https://x.apps.example.evil.example",
    "https://user@app.example",
    "https://app.example, https://evil.example",
    "https://app.example https://evil.example",
    "http://localhost:3001",
    "https://app.example:0443",
    "https://\u212aapp.example",
    "https://.apps.example",
    "https://x..apps.example",
    "file://",
    "https://xn--bcher-kva.apps.example",
]
PEERS = [
    "10.1.2.3",
    "::ffff:10.1.2.3",
    "2001:db8::1",
    "192.0.2.1",
    "",
    "010.1.2.3",
    "10.1",
    "0x0a010203",
    "10.1.2.3:443",
    "[2001:db8::1]",
    "2001:db8::1%eth0",
    "unknown",
    "/run/envoy.sock",
]
METHODS = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "CONNECT", "TRACE", "get", "GET ", "", "GÉT"]
PATH_PARTS = [
    "//", "/./", "/../", "..", ".", "%2e%2e", "%2E", "%2f", "%5C", "\\", "%00", "%25", "%252e", "%c0%af", "%20",
    ";", ";x=1", "..;", "..;x", "%2e.", "#", "?", "?x=/health", "*", "/", "/health", "/v1/verify", "http://evil",
    "@", "%61", "\0", "\r\n", "\u212a", "é", "A" * 9000, "/a" * 200,
]  # fmt: skip
SEGMENTS = st.sampled_from([
    "..", ".", "...", "%2e%2e", "%2E.", "..;", "..;x=1", ".;", ";x", "x;y", ";", "x%2fy", "%2F..", "x%5cy", "x\\y", "",
    "%00", "%25", "%252e%252e", "%3b", "%3F", "x?y", "x#y", "*", "**", "{verification}", "%", "%c0%ae", " ", "x\ty",
])  # fmt: skip
EXTRA_NAMES = [
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-uri", "x-original-url", "x-rewrite-url",
    "x-envoy-original-path", "x-envoy-external-address", "x-http-method-override", "x-real-ip", "forwarded",
    "referer", "cookie", "user-agent", "x-authsvc-organization", "x-authsvc-scopes",
    "x_authsvc_kind", "x.authsvc.kind", "x_api_key", "x.api.key",
    "x-api-key ", "x-api-key", "authorization", "proxy-authorization", "x-api-\u212aey",
    "access-control-request-method", "origin", "content-type", "host", ":path", ":method", "api", "public", "",
]  # fmt: skip
EXTRA_VALUES = [
    "10.1.2.3", "/health", "GET", "POST", "kube-probe/1.30", "application/grpc", "*", "true", "forged", "a\r\nb", "\0",
    "Bearer x", "https://app.example", "' OR 1=1 --", "{0}", "%s", "\u212a", "",
]  # fmt: skip

# Made once: a strategy costs more to make than to draw from.
NUMBERS = st.integers(0, 1000)
PARAMETERS = st.sampled_from(["7", "vf_A", "a.b-c~d", "x:y"])
QUERIES = st.sampled_from(["", "", "?a=1", "?a=/health/../x"])
ADDRESSES = st.sampled_from(["10.1.2.3", *PEERS])
MAYBE_ORIGIN = st.sampled_from([None, *LISTED, *LISTED, *UNLISTED])
ANY_METHOD = st.sampled_from(METHODS) | st.text(max_size=8)
ANY_PART = st.sampled_from(PATH_PARTS) | st.text(max_size=4)
ANY_ORIGIN = st.sampled_from(LISTED + UNLISTED) | st.text(max_size=30)
ANY_NAME = st.sampled_from(EXTRA_NAMES) | st.text(max_size=12)
ANY_VALUE = st.sampled_from(EXTRA_VALUES) | st.text(max_size=12) | st.binary(max_size=6)
ANY_ADDRESS = st.sampled_from(PEERS) | st.text(max_size=50)


@dataclass
class Draft:
    """A request on its way to a CheckRequest; headers as pairs, in order."""

    api: str
    method: str
    path: str
    host: str
    key: str
    headers: list[tuple[str, str | bytes]] = field(default_factory=list)
    peer: str = "10.1.2.3"
    raw: bool = False
    environment: str | None = None

    def message(self) -> CheckRequest:
        """Return what Envoy would send, in either of its two forms."""
        request = CheckRequest()
        http = request.attributes.request.http
        http.method, http.path, http.host = self.method, self.path, self.host
        for name, value in [(":method", self.method), (":path", self.path), (":authority", self.host), *self.headers]:
            if self.raw:
                http.header_map.headers.add(key=name, raw_value=value if isinstance(value, bytes) else value.encode())
            else:
                # Envoy joins what is repeated, and puts `!` for what is no text.
                text = value if isinstance(value, str) else value.decode("ascii", "replace").replace("\ufffd", "!")
                http.headers[name] = f"{http.headers[name]},{text}" if name in http.headers else text
        request.attributes.source.address.socket_address.address = self.peer
        request.attributes.context_extensions["api"] = self.api
        if self.environment is not None:
            request.attributes.context_extensions["environment"] = self.environment
        return request


def credential(product: Product, key: str) -> tuple[str, str]:
    """Return the header that presents a key."""
    bearer = product.section["credential"].get("bearer")
    return product.credential, f"Bearer {key}" if bearer else key


@dataclass(frozen=True)
class Parts:
    """What the requests of one product are put together from, made once."""

    routes: st.SearchStrategy[dict[str, Any]]
    keys: st.SearchStrategy[str]
    able: st.SearchStrategy[str]
    environments: st.SearchStrategy[str]
    hosts: st.SearchStrategy[str]


@cache
def parts(product: Product) -> Parts:
    """Return them."""
    texts = sorted(product.holders)
    # Mostly a key that could do everything, were it asked for in the right place, or from there.
    able = [text for text in texts if product.holders[text].able]
    held = [text for text in texts if product.holders[text].origins and not product.holders[text].dead]
    local = [text for text in texts if product.holders[text].networks]
    hosts = [host for body in product.section.get("environments", {}).values() for host in body["hosts"]]
    odd = ["evil.example", "", "[::1]:80", "localhost."]
    spelled = [form for host in hosts for form in (host.upper(), host + ".", host + ":8443", host + ",x", host + ":")]
    return Parts(
        routes=st.sampled_from(product.section["routes"]),
        keys=st.one_of(map(st.sampled_from, (able, held, local, texts))),
        able=st.sampled_from(able),
        environments=st.sampled_from([*product.section.get("environments", {}), "", "nowhere"]),
        hosts=st.sampled_from([*hosts, *odd, *spelled]) | st.text(max_size=20),
    )


@st.composite
def clean(draw: st.DrawFn, product: Product) -> Draft:
    """Any key for any route, mostly on its own host, from any origin and address."""
    return _drawn(draw, product, draw(parts(product).keys), draw(parts(product).routes), draw(NUMBERS), draw(ADDRESSES))


@st.composite
def hostile(draw: st.DrawFn, product: Product) -> Draft:
    """A request with one to four things wrong, mostly one that was quite right before."""
    if draw(NUMBERS) % 4:
        key = draw(parts(product).able)
        ceiling = product.ceiling(product.holders[key].kind)
        routes = [r for r in product.section["routes"] if ceiling is None or ceiling.issuperset(r.get("scopes", "-"))]
        route = routes[draw(NUMBERS) % len(routes)]
        draft = _drawn(draw, product, key, route, 0, "10.1.2.3", origin=LISTED[0])
    else:
        draft = draw(clean(product))
    for change in draw(SOME_CHANGES):
        change(draw, product, draft)
    return draft


def _drawn(
    draw: st.DrawFn, product: Product, key: str, route: dict[str, Any], number: int, address: str, origin: str = ""
) -> Draft:
    methods = [route["method"]] if isinstance(route["method"], str) else route["method"]
    path = re.sub(r"\{[^}]*\}", draw(PARAMETERS), route["path"]).replace("**", "a/b")
    host, environment = product.place(product.holders[key].environment, number)
    draft = Draft(
        api=product.name,
        method=methods[draw(NUMBERS) % len(methods)],
        path=path + draw(QUERIES),
        host=host,
        key=key,
        peer=address,
        raw=draw(st.booleans()),
        environment=environment,
    )
    draft.headers.append(credential(product, key))
    if product.hops:
        claimed = ["10.0.0.1"] if draw(st.booleans()) else []
        draft.headers.append(("x-forwarded-for", ", ".join([*claimed, address, *["203.0.113.9"] * (product.hops - 1)])))
    page = origin or draw(MAYBE_ORIGIN)
    if page is not None:
        draft.headers.append(("origin", page))
    return draft


def _method(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    draft.method = draw(ANY_METHOD)


def _path(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    at = draw(NUMBERS) % (len(draft.path) + 1)
    draft.path = draft.path[:at] + draw(ANY_PART) + draft.path[at + draw(NUMBERS) % 4 :]


def _other_path(draw: st.DrawFn, product: Product, draft: Draft) -> None:
    start, end = draw(parts(product).routes)["path"], draw(parts(product).routes)["path"]
    draft.path = draw(
        st.sampled_from([draft.path.upper(), draft.path + "/", start + "/.." + end, start + "%2f.." + end, "*", ""])
        | st.text(max_size=20)
    )


def _segment(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    path, mark, query = draft.path.partition("?")
    segments, number = path.split("/"), draw(NUMBERS)
    # Mostly the last, which is often a parameter and takes nearly anything.
    segments[-1 if number % 3 else number % len(segments)] = draw(SEGMENTS)
    draft.path = "/".join(segments) + mark + query


def _host(draw: st.DrawFn, product: Product, draft: Draft) -> None:
    draft.host = draw(parts(product).hosts)


def _environment(draw: st.DrawFn, product: Product, draft: Draft) -> None:
    draft.environment = draw(parts(product).environments)


def _key(draw: st.DrawFn, product: Product, draft: Draft) -> None:
    key = draft.key
    at = draw(NUMBERS) % len(key) if key else 0
    other = draw(parts(product).keys)
    forms = [
        "",
        key[:-1],
        key[:at] + draw(st.characters()) + key[at + 1 :],
        key.swapcase(),
        key + "\n",
        " " + key,
        key + " ",
        f'"{key}"',
        f"{key},{other}",
        f"{key} {other}",
        key[:at] + f"%{ord(key[at]) if key else 0:02X}" + key[at + 1 :],
        key * 4,
        key + "\0",
        draw(st.text(max_size=140)),
    ]
    draft.key = forms[draw(NUMBERS) % len(forms)]
    name, _ = credential(product, "")
    draft.headers = [header for header in draft.headers if header[0] != name]
    draft.headers.append(credential(product, draft.key))


def _placement(draw: st.DrawFn, product: Product, draft: Draft) -> None:
    name, _ = credential(product, "")
    other = draw(parts(product).keys)
    draft.headers = [header for header in draft.headers if header[0] != name]
    draft.headers += draw(
        st.sampled_from(
            [
                [],
                [(name, draft.key)],
                [(name, f"bearer {draft.key}")],
                [(name, f"Bearer  {draft.key}")],
                [(name, f"Bearer\t{draft.key}")],
                [(name, f"Token {draft.key}")],
                [(name, f"Basic {draft.key}")],
                [(name, f"\u212aearer {draft.key}")],
                [credential(product, draft.key), credential(product, other)],
                [credential(product, draft.key), (name, "")],
                [(name.replace("-", "_"), draft.key)],
                [(name.replace("k", "\u212a"), draft.key)],
                [("x-api-key", draft.key), ("authorization", f"Bearer {other}")],
                [("cookie", f"key={draft.key}")],
            ]
        )
    )


def _origin(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    draft.headers.append(("origin", draw(ANY_ORIGIN)))


def _preflight(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    draft.headers.append(("access-control-request-method", draw(st.just(draft.method) | ANY_METHOD)))
    draft.method = "OPTIONS"


def _header(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    draft.headers.append((draw(ANY_NAME), draw(ANY_VALUE)))


def _address(draw: st.DrawFn, _: Product, draft: Draft) -> None:
    draft.peer = draw(ANY_ADDRESS)


CHANGES: list[Callable[[Any, Product, Draft], None]] = [
    _method, _path, _segment, _other_path, _host, _environment, _key, _placement, _origin, _preflight, _header,
    _address,
]  # fmt: skip
SOME_CHANGES = st.lists(st.sampled_from(CHANGES), min_size=1, max_size=1) | st.lists(
    st.sampled_from(CHANGES), min_size=2, max_size=4
)
