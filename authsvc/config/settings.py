"""What the environment says: where things are and where to listen. Read once, at the start."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from authsvc.config.addresses import Address, parse_address
from authsvc.config.listeners import Listener
from authsvc.config.loader import Config
from authsvc.config.problems import unknown
from authsvc.domain.errors import StartupError

_PREFIX = "AUTHSVC_"
_TEST_PREFIX = "AUTHSVC_TEST_"
_OFF = "off"
_FLAGS = {"true": True, "false": False}
_MAX_LENGTH = 4096

VARIABLES = (
    "AUTHSVC_CONFIG",
    "AUTHSVC_HOME",
    "AUTHSVC_DATABASE_URL",
    "AUTHSVC_MIGRATE_DATABASE_URL",
    "AUTHSVC_PEPPER_FILE",
    "AUTHSVC_LISTEN",
    "AUTHSVC_FAST_LISTEN",
    "AUTHSVC_FAST_TOKEN_FILE",
    "AUTHSVC_FAST_ALLOW_PLAINTEXT",
    "AUTHSVC_ADMIN_LISTEN",
    "AUTHSVC_METRICS_LISTEN",
    "AUTHSVC_TARGET",
    "AUTHSVC_ADMIN_TARGET",
    "AUTHSVC_ADMIN_KEY",
)

# Kubernetes puts these into every pod beside a Service named authsvc or authsvc-something.
_KUBERNETES = re.compile(
    r"AUTHSVC_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
_DATABASES = ("postgresql", "postgresql+psycopg", "sqlite", "sqlite+aiosqlite")
_PLAINTEXT_MODES = frozenset({"disable", "allow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment, validated. Secrets show themselves only when asked by name."""

    config: Path
    home: Path
    database_url: SecretStr | None  # None: the embedded database in `home`
    migrate_database_url: SecretStr | None
    pepper_file: Path
    listen: Address
    fast_listen: Address | None
    fast_token_file: Path | None  # None: whoever can connect may call
    admin_listen: Address
    metrics_listen: Address | None
    target: Address
    admin_target: Address
    admin_key: SecretStr | None  # None: `admin_key_file`, where there is one

    @property
    def embedded_database(self) -> Path:
        """The SQLite file used without a database URL."""
        return self.home / "authsvc.db"

    @property
    def admin_key_file(self) -> Path:
        """Where the first administrator key is kept."""
        return self.home / "admin.key"

    @property
    def listeners(self) -> dict[str, Address | None]:
        """Every listener by its variable; None: off."""
        return {
            "AUTHSVC_LISTEN": self.listen,
            "AUTHSVC_FAST_LISTEN": self.fast_listen,
            "AUTHSVC_ADMIN_LISTEN": self.admin_listen,
            "AUTHSVC_METRICS_LISTEN": self.metrics_listen,
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables; `StartupError` names the first one that cannot be used."""
        _refuse_unknown(environment)
        home = Path(_text(environment, "AUTHSVC_HOME") or ".authsvc")
        listen = _listener(environment, "AUTHSVC_LISTEN", "127.0.0.1:50051")
        admin = _listener(environment, "AUTHSVC_ADMIN_LISTEN", "127.0.0.1:50052")
        settings = cls(
            config=Path(_text(environment, "AUTHSVC_CONFIG") or "authsvc.yaml"),
            home=home,
            database_url=_database(environment, "AUTHSVC_DATABASE_URL"),
            migrate_database_url=_database(environment, "AUTHSVC_MIGRATE_DATABASE_URL"),
            pepper_file=Path(_text(environment, "AUTHSVC_PEPPER_FILE") or home / "peppers.yaml"),
            listen=listen,
            fast_listen=_optional_listener(environment, "AUTHSVC_FAST_LISTEN", _OFF),
            fast_token_file=_optional_path(environment, "AUTHSVC_FAST_TOKEN_FILE"),
            admin_listen=admin,
            metrics_listen=_optional_listener(environment, "AUTHSVC_METRICS_LISTEN", "127.0.0.1:9464"),
            target=_address(environment, "AUTHSVC_TARGET") or listen.reachable(),
            admin_target=_address(environment, "AUTHSVC_ADMIN_TARGET") or admin.reachable(),
            admin_key=_secret(environment, "AUTHSVC_ADMIN_KEY"),
        )
        _refuse_clashes(settings)
        _check_fast(settings, allow_plaintext=_flag(environment, "AUTHSVC_FAST_ALLOW_PLAINTEXT"))
        return settings


def check_plaintext(settings: Settings, config: Config) -> None:
    """Refuse a listener that would take keys unencrypted from other machines without being told to."""
    _check_plaintext("AUTHSVC_LISTEN", settings.listen, "data", config.data)
    _check_plaintext("AUTHSVC_ADMIN_LISTEN", settings.admin_listen, "admin", config.admin)


def _check_plaintext(variable: str, address: Address, name: str, listener: Listener) -> None:
    if listener.tls is None and not address.is_local and not listener.allow_plaintext:
        raise StartupError(
            f"{variable}: {address} can be reached from other machines and has no TLS; "
            f"set listeners.{name}.tls, or accept it with listeners.{name}.allow_plaintext: true"
        )


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name.startswith(_TEST_PREFIX) or name in VARIABLES:
            continue
        if _KUBERNETES.fullmatch(name) is None:
            raise StartupError(unknown("environment variable", name, VARIABLES))


def _text(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name)
    # An empty value is usually a variable that somebody forgot to fill.
    if value is not None and not value.strip():
        raise StartupError(f"{name} is empty; unset it or give it a value")
    if value is not None and (len(value) > _MAX_LENGTH or not value.isprintable()):
        raise StartupError(f"{name} must be one line of at most {_MAX_LENGTH} characters")
    return value


def _secret(environment: Mapping[str, str], name: str) -> SecretStr | None:
    value = _text(environment, name)
    return None if value is None else SecretStr(value)


def _address(environment: Mapping[str, str], name: str) -> Address | None:
    value = _text(environment, name)
    if value is None:
        return None
    address = parse_address(value)
    if address is None:
        raise StartupError(f"{name}: {value[:120]!r} is not an address; allowed: host:port, [v6]:port, unix:/path")
    return address


def _listener(environment: Mapping[str, str], name: str, default: str) -> Address:
    return _address({name: environment.get(name, default)}, name) or Address()


def _optional_listener(environment: Mapping[str, str], name: str, default: str) -> Address | None:
    if environment.get(name, default) == _OFF:
        return None
    return _listener(environment, name, default)


def _optional_path(environment: Mapping[str, str], name: str) -> Path | None:
    value = _text(environment, name)
    return None if value is None else Path(value)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = _text(environment, name)
    if value not in (None, *_FLAGS):
        raise StartupError(f"{name} must be one of {', '.join(_FLAGS)}")
    return value is not None and _FLAGS[value]


def _check_fast(settings: Settings, *, allow_plaintext: bool) -> None:
    """Refuse a fast listener that would take keys, or strangers' calls, from other machines without being told to."""
    address, token = settings.fast_listen, settings.fast_token_file
    if address is None or address.is_local or (token is not None and allow_plaintext):
        return
    raise StartupError(
        f"AUTHSVC_FAST_LISTEN: {address} can be reached from other machines; use unix:/path or loopback, "
        "or accept it with AUTHSVC_FAST_TOKEN_FILE and AUTHSVC_FAST_ALLOW_PLAINTEXT=true"
    )


def _refuse_clashes(settings: Settings) -> None:
    for (one, first), (other, second) in itertools.combinations(settings.listeners.items(), 2):
        if first is not None and second is not None and first.clashes(second):
            raise StartupError(f"{one} and {other} are one port: {first} and {second}; every listener needs its own")


def _database(environment: Mapping[str, str], name: str) -> SecretStr | None:
    value = _text(environment, name)
    if value is None:
        return None
    # Neither the URL nor another library's message about it is ever shown: it holds a password.
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise StartupError(f"{name} is not a database URL such as postgresql://user@host/database") from None
    if url.drivername not in _DATABASES:
        raise StartupError(f"{name} names a database that is not supported; allowed: {', '.join(_DATABASES)}")
    if url.drivername.startswith("postgresql") and _travels_in_clear(url, environment):
        raise StartupError(
            f"{name}: with sslmode disable or allow the database's traffic is not encrypted; use verify-full"
        )
    return SecretStr(value)


def _travels_in_clear(url: URL, environment: Mapping[str, str]) -> bool:
    modes = _all(url, "sslmode") or [environment.get("PGSSLMODE", "")]
    hosts = [url.host or "", *_all(url, "host"), *_all(url, "hostaddr")]
    return not _PLAINTEXT_MODES.isdisjoint(modes) and not all(_is_local_host(host) for host in hosts)


def _all(url: URL, name: str) -> list[str]:
    value = url.query.get(name, ())
    return [part for text in ([value] if isinstance(value, str) else value) for part in text.split(",")]


def _is_local_host(host: str) -> bool:
    return host in {"", "localhost"} or host.startswith(("/", "@")) or Address(host=host, port=1).is_local
