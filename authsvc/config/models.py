"""
The shape of the configuration file. Its JSON Schema is made from these classes.

What can be judged by looking at one value is judged here; what takes two is in `checks`. A field
without a default is one whose absence must not be read as permission.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from authsvc.config.values import (
    Age,
    ContentType,
    FileName,
    Grace,
    HeaderName,
    HeaderValue,
    Host,
    ImportAlgorithm,
    Lifetime,
    Method,
    Name,
    NegativeAge,
    PathTemplate,
    Peer,
    Prefix,
    Rate,
    ReasonName,
    Reload,
    Scheme,
    ScopeName,
    Staleness,
    parse_duration,
)
from authsvc.domain.quotas import MAX_COUNT
from authsvc.domain.scopes import MAX_SCOPES

MAX_APIS = 256
MAX_HOSTS = 64
MAX_PRESETS = 64


class Section(BaseModel):
    """Base of every mapping in the file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


# The forms a value can be written in. As parts of an error's location they are no key anybody can use.
WORD, NUMBER, MAPPING, LIST = "<word>", "<number>", "<mapping>", "<list>"


def _forms(otherwise: str, *forms: str) -> Discriminator:
    """Choose among a field's forms by what was written, so that an error speaks of that form alone."""

    def form(value: Any) -> str:  # noqa: ANN401 - plain data, not yet looked at
        written = LIST if isinstance(value, list) else MAPPING if isinstance(value, (dict, Section)) else otherwise
        return written if written in forms else otherwise

    return Discriminator(form)


class ScopeSection(Section):
    """One entry of the scope catalogue."""

    description: str = Field(default="", max_length=500)
    """What the scope lets a key do."""
    default: bool = False
    """Whether a new key that names no scopes gets this one, where its kind may hold it."""


class LimitSection(Section):
    """A rate limit in full."""

    rate: Rate
    """How many requests in how long: `10/minute`."""
    algorithm: Literal["gcra", "sliding_window"] = "gcra"
    """`gcra`: a burst, then a steady pace. `sliding_window`: never more than the rate in any window."""
    burst: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """Requests allowed at once (gcra only); the rate's count where absent."""


OneLimit = Annotated[
    Annotated[Rate, Tag(WORD)] | Annotated[LimitSection, Tag(MAPPING)],
    _forms(WORD, MAPPING),
]
LimitList = Annotated[
    Annotated[Rate, Tag(WORD)]
    | Annotated[LimitSection, Tag(MAPPING)]
    | Annotated[list[OneLimit], Field(min_length=1, max_length=4), Tag(LIST)],
    _forms(WORD, MAPPING, LIST),
]


class LimitsSection(Section):
    """Rate limits. All that apply to a request must have room."""

    per_key: LimitList | None = None
    """Counted for each key on its own."""
    per_organization: LimitList | None = None
    """Counted for all keys of an organization together."""


class KindSection(Section):
    """A kind of key: what its keys can ever do, whoever made them."""

    default: bool = False
    """Whether new keys are of this kind unless another is named; exactly one kind is."""
    scopes: Annotated[
        Annotated[Literal["all"], Tag(WORD)]
        | Annotated[list[ScopeName], Field(min_length=1, max_length=MAX_SCOPES), Tag(LIST)],
        _forms(WORD, LIST),
    ]
    """The ceiling: `all`, or the only scopes its keys can hold."""
    default_scopes: Annotated[list[ScopeName], Field(max_length=MAX_SCOPES)] | None = None
    """Scopes of a new key that names none; the catalogue's defaults within the ceiling where absent."""
    origins: Literal["required", "optional", "forbidden"]
    """Browser origins: every key needs an allow-list, may have one, or is never used from a browser."""
    limits: LimitsSection = LimitsSection()
    """Rate limits of keys of this kind."""
    cors: bool = False
    """Whether a browser page may read refusals of this kind's keys."""
    max_lifetime: Lifetime | None = None
    """The longest a key may live; its keys must then expire."""
    expiry_required: bool = False
    """Whether every key must have an expiry."""


class EnvironmentSection(Section):
    """One environment."""

    hosts: list[Host] = Field(default=[], max_length=MAX_HOSTS)
    """Host names whose requests are for this environment."""


Environments = Annotated[
    Annotated[Literal["from_key"], Tag(WORD)]
    | Annotated[dict[Name, EnvironmentSection], Field(min_length=1, max_length=16), Tag(MAPPING)],
    _forms(WORD, MAPPING),
]


class KeyClassSection(Section):
    """One row of the prefix table. The prefix of a presented key names its kind and environment."""

    prefix: Prefix = Field(max_length=64)
    """How the key's text begins, separator included; empty for keys without a prefix."""
    kind: Name
    environment: Name | None = None
    """Which environment the key belongs to; exactly where the API has environments."""
    alphabet: Literal["base62", "crockford32", "upper", "hex", "visible"] = "base62"
    """Characters after the prefix; `visible` is for keys that were made elsewhere."""
    length: Annotated[
        Annotated[int, Field(ge=8, le=128), Tag(NUMBER)]
        | Annotated[list[Annotated[int, Field(ge=8, le=128)]], Field(min_length=2, max_length=2), Tag(LIST)],
        _forms(NUMBER, LIST),
    ] = 38
    """Characters after the prefix, checksum included; `[least, most]` for keys that were made elsewhere."""
    checksum: Literal["crc32", "none"] = "crc32"
    """Whether the key ends in a checksum, so that a typo is refused without a query."""
    imports: list[ImportAlgorithm] = Field(default=[], max_length=2)
    """Under which digests keys of this class may have been imported; an HMAC names its secret in the pepper file."""


class RotationSection(Section):
    """How long a rotated key keeps working."""

    grace: Grace = parse_duration("15m")
    """Unless the rotation names its own."""
    max_grace: Grace = parse_duration("24h")
    """The longest a rotation may name."""


class KeysSection(Section):
    """What keys look like and how they are replaced."""

    classes: list[KeyClassSection] = Field(min_length=1, max_length=64)
    rotation: RotationSection = RotationSection()


class CredentialSection(Section):
    """Where a request carries its key: `{header: x-api-key}` or `{bearer: true}`."""

    header: HeaderName | None = None
    """The header that holds the key."""
    scheme: Scheme | None = None
    """The word before the key in that header."""
    bearer: Literal[True] | None = None
    """Short for header authorization, scheme bearer."""


class RouteSection(Section):
    """What a method and path ask of a key. What no route covers is refused."""

    method: Annotated[
        Annotated[Method, Tag(WORD)] | Annotated[list[Method], Field(min_length=1, max_length=16), Tag(LIST)],
        _forms(WORD, LIST),
    ]
    """A method, several, or `ANY`."""
    path: PathTemplate
    """Literal segments, `{parameter}` for one segment, `**` at the end for the rest."""
    scopes: Annotated[list[ScopeName], Field(max_length=MAX_SCOPES)] | None = None
    """Scopes the key must hold, all of them; `[]` for any valid key."""
    public: bool = False
    """Whether the route needs no key at all."""
    preflight: Literal["allow", "deny"] = "deny"
    """Whether a browser's CORS preflight for this route passes; it carries no key."""
    environment: Name | None = None
    """The environment this route belongs to, whatever the host."""
    kinds: Annotated[list[Name], Field(min_length=1)] | None = None
    """The only kinds of key that may come here; where absent, those that can hold the scopes."""


class ErrorSection(Section):
    """How one refusal is worded."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """HTTP status; the reason's own where absent."""
    content_type: ContentType | None = None
    """`application/json` where absent."""
    headers: dict[HeaderName, HeaderValue] = Field(default={}, max_length=16)
    """Further headers, exact text."""
    body: Annotated[str, Field(max_length=8192)] | None = None
    """Exact text with {{reason}} {{message}} {{status}} {{required_scope}} {{decision_id}} {{retry_after}}."""


class ForwardedSection(Section):
    """The client's address is in a header that trusted proxies append to."""

    header: HeaderName
    """Usually x-forwarded-for."""
    trusted_hops: int = Field(ge=1, le=16)
    """How many proxies in front are yours; the address is that many entries from the right."""


class RateLimitHeadersSection(Section):
    """Which rate-limit headers answers carry."""

    standard: bool = True
    """RateLimit and RateLimit-Policy."""
    legacy: bool = False
    """X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset."""


class ApiSection(Section):
    """One protected product."""

    hosts: list[Host] = Field(default=[], max_length=64)
    """Exact host names of the product; used only where the proxy does not name the API."""
    credential: Annotated[
        Annotated[CredentialSection, Tag(MAPPING)]
        | Annotated[list[CredentialSection], Field(min_length=1, max_length=4), Tag(LIST)],
        _forms(MAPPING, LIST),
    ]
    """Where requests carry their key. With several places, a request that uses two is refused."""
    challenge: HeaderValue | None = None
    """WWW-Authenticate of a 401; made from `credential` where absent."""
    hide_credential: bool = True
    """Whether the key is taken out of the request before it reaches the product."""
    kinds: dict[Name, KindSection] = Field(min_length=1, max_length=16)
    keys: KeysSection
    environments: Environments | None = None
    """Environments by name; `from_key` where the key alone decides; absent where there are none."""
    scopes: dict[ScopeName, ScopeSection] = Field(default={}, max_length=512)
    """The catalogue: every scope there is."""
    presets: dict[Name, Annotated[list[ScopeName], Field(min_length=1, max_length=MAX_SCOPES)]] = Field(
        default={}, max_length=MAX_PRESETS
    )
    """Named sets of scopes to create keys with."""
    empty_scopes: Literal["none", "full_access"] = "none"
    """What a new key without any scopes can do; written on the key when it is made."""
    full_access_manages_keys: bool = False
    """Whether full access includes managing the organization's own keys."""
    routes: list[RouteSection] = Field(default=[], max_length=4096)
    limits: LimitsSection = LimitsSection()
    """Rate limits of every key of this API."""
    plans: dict[Name, LimitsSection] = Field(default={}, max_length=64)
    """Limits by the plan an organization is on."""
    default_plan: Name | None = None
    """The plan of organizations without one; needed as soon as there are plans."""
    errors: dict[ReasonName, ErrorSection] = {}
    """How refusals are worded, by reason or as `default`; problem details (RFC 9457) otherwise."""
    client_address: Annotated[
        Annotated[Literal["peer"], Tag(WORD)] | Annotated[ForwardedSection, Tag(MAPPING)], _forms(WORD, MAPPING)
    ] = "peer"
    """Where the client's address is: the proxy's own peer, or a header."""
    rate_limit_headers: RateLimitHeadersSection = RateLimitHeadersSection()


class TlsSection(Section):
    """Transport security of one listener. Paths are relative to the configuration file."""

    mode: Literal["mtls", "tls", "disabled"]
    certificate: FileName | None = None
    """PEM file: the server's certificate and its chain."""
    key: FileName | None = None
    """PEM file: the certificate's private key."""
    client_ca: FileName | None = None
    """PEM file: who may sign client certificates (mtls)."""
    clients: list[Peer] = Field(default=[], max_length=64)
    """DNS names and URIs of the client certificates that may call (mtls)."""
    reload: Reload = parse_duration("30s")
    """How often the files are looked at again."""


class ListenerSection(Section):
    """One listener."""

    tls: TlsSection | None = None
    allow_plaintext: bool = False
    """Accept that keys travel unencrypted on an address other than loopback."""


class ListenersSection(Section):
    """The listeners; their addresses come from the environment."""

    data: ListenerSection = ListenerSection()
    """Decisions, for proxies and backends."""
    admin: ListenerSection = ListenerSection()
    """Administration."""


class CacheSection(Section):
    """Key records kept in memory."""

    max_staleness: Staleness = parse_duration("60s")
    """How long answers outlive the last word of the database; past it everything is refused."""
    max_age: Age = parse_duration("300s")
    """How long a record is used before it is read again."""
    negative_age: NegativeAge = parse_duration("10s")
    """How long it is remembered that a key does not exist."""
    keys: int = Field(default=50_000, ge=100, le=5_000_000)
    """Records kept."""
    negatives: int = Field(default=20_000, ge=100, le=5_000_000)
    """Unknown keys remembered."""


class File(Section):
    """The configuration of the service."""

    apis: dict[Name, ApiSection] = Field(min_length=1, max_length=MAX_APIS)
    """The protected products, by the name that the proxy sends."""
    listeners: ListenersSection = ListenersSection()
    cache: CacheSection = CacheSection()
