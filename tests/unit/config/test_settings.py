"""The environment: what it may say, and what stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.config import Address, Settings, check_plaintext, parse_address, read
from authsvc.domain.errors import StartupError

MINIMAL = (Path(__file__).parents[3] / "examples" / "minimal" / "authsvc.yaml").read_bytes()
TLS = b"listeners: {data: {tls: {mode: tls, certificate: c.pem, key: k.pem}}, admin: {allow_plaintext: true}}\n"


def test_defaults() -> None:
    """Without variables everything is on loopback and in one folder."""
    settings = Settings.from_environment({"PATH": "/bin"})

    assert (Path("authsvc.yaml"), Path(".authsvc"), Path(".authsvc/peppers.yaml")) == (
        settings.config,
        settings.home,
        settings.pepper_file,
    )
    assert [
        str(address)
        for address in (
            settings.listen,
            settings.admin_listen,
            settings.metrics_listen,
            settings.target,
            settings.admin_target,
        )
    ] == ["127.0.0.1:50051", "127.0.0.1:50052", "127.0.0.1:9464", "127.0.0.1:50051", "127.0.0.1:50052"]
    assert (
        settings.fast_listen,
        settings.database_url,
        settings.migrate_database_url,
        settings.admin_key,
    ) == (None, None, None, None)
    assert Path(".authsvc/authsvc.db") == settings.embedded_database
    assert Path(".authsvc/admin.key") == settings.admin_key_file


def test_everything_can_be_set() -> None:
    """Each variable reaches its field."""
    settings = Settings.from_environment(
        {
            "AUTHSVC_CONFIG": "/etc/authsvc.yaml",
            "AUTHSVC_HOME": "/var/lib/authsvc",
            "AUTHSVC_DATABASE_URL": "postgresql://service:secret@db.example/authsvc?sslmode=verify-full",
            "AUTHSVC_MIGRATE_DATABASE_URL": "postgresql+psycopg://owner:secret@/authsvc?host=/run/postgresql",
            "AUTHSVC_PEPPER_FILE": "/run/secrets/peppers",
            "AUTHSVC_LISTEN": "[::]:443",
            "AUTHSVC_FAST_LISTEN": "0.0.0.0:50053",
            "AUTHSVC_FAST_TOKEN_FILE": "/run/secrets/fast-token",
            "AUTHSVC_FAST_ALLOW_PLAINTEXT": "true",
            "AUTHSVC_ADMIN_LISTEN": "localhost:0",
            "AUTHSVC_METRICS_LISTEN": "off",
            "AUTHSVC_TARGET": "authsvc.example:443",
            "AUTHSVC_ADMIN_KEY": "authsvc_key",
            "AUTHSVC_TEST_ANYTHING": "is the tests'",
        }
    )

    assert Address(host="::", port=443) == settings.listen
    assert Address(host="0.0.0.0", port=50053) == settings.fast_listen
    assert Path("/run/secrets/fast-token") == settings.fast_token_file
    assert Address(host="localhost", port=0) == settings.admin_listen
    assert settings.metrics_listen is None
    assert Address(host="authsvc.example", port=443) == settings.target
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "authsvc_key"
    assert Path("/run/secrets/peppers") == settings.pepper_file


def test_nothing_secret_is_shown() -> None:
    """Neither repr nor str of the settings holds a password or a key."""
    settings = Settings.from_environment(
        {"AUTHSVC_DATABASE_URL": "postgresql://u:hunter2@localhost/x", "AUTHSVC_ADMIN_KEY": "hunter2"}
    )

    assert "hunter2" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        pytest.param("0.0.0.0:1234", "127.0.0.1:1234", id="any-ipv4"),
        pytest.param("[::]:1234", "[::1]:1234", id="any-ipv6"),
        pytest.param("unix:/run/a.sock", "unix:/run/a.sock", id="socket"),
    ],
)
def test_the_target_follows_the_listener(listen: str, target: str) -> None:
    """Commands on the same machine find the service without a second variable."""
    assert target == str(Settings.from_environment({"AUTHSVC_LISTEN": listen}).target)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        pytest.param(
            {"AUTHSVC_LISTN": "x"},
            "unknown environment variable 'AUTHSVC_LISTN'; did you mean 'AUTHSVC_LISTEN'?",
            id="unknown",
        ),
        pytest.param({"AUTHSVC_LISTEN": ""}, "AUTHSVC_LISTEN is empty; unset it or give it a value", id="empty"),
        pytest.param(
            {"AUTHSVC_ADMIN_KEY": "a\nb"},
            "AUTHSVC_ADMIN_KEY must be one line of at most 4096 characters",
            id="two-lines",
        ),
        pytest.param(
            {"AUTHSVC_LISTEN": "50051"},
            "AUTHSVC_LISTEN: '50051' is not an address; allowed: host:port, [v6]:port, unix:/path",
            id="port-alone",
        ),
        pytest.param(
            {"AUTHSVC_ADMIN_LISTEN": "127.0.0.1:50051"},
            "AUTHSVC_LISTEN and AUTHSVC_ADMIN_LISTEN are one port: 127.0.0.1:50051 and 127.0.0.1:50051",
            id="admin-and-data",
        ),
        pytest.param(
            {"AUTHSVC_METRICS_LISTEN": "0.0.0.0:50052"},
            "AUTHSVC_ADMIN_LISTEN and AUTHSVC_METRICS_LISTEN are one port: 127.0.0.1:50052 and 0.0.0.0:50052",
            id="metrics-and-admin",
        ),
        pytest.param(
            {"AUTHSVC_LISTEN": "unix:/a", "AUTHSVC_FAST_LISTEN": "unix:/a"},
            "AUTHSVC_LISTEN and AUTHSVC_FAST_LISTEN are one port: unix:/a and unix:/a",
            id="one-socket",
        ),
        pytest.param(
            {"AUTHSVC_FAST_LISTEN": "0.0.0.0:1"},
            "AUTHSVC_FAST_LISTEN: 0.0.0.0:1 can be reached from other machines; use unix:/path or loopback",
            id="fast-outside",
        ),
        pytest.param(
            {"AUTHSVC_FAST_LISTEN": "0.0.0.0:1", "AUTHSVC_FAST_TOKEN_FILE": "/run/token"},
            "AUTHSVC_FAST_LISTEN: 0.0.0.0:1 can be reached from other machines; use unix:/path or loopback",
            id="fast-outside-in-clear",
        ),
        pytest.param(
            {"AUTHSVC_FAST_LISTEN": "0.0.0.0:1", "AUTHSVC_FAST_ALLOW_PLAINTEXT": "true"},
            "AUTHSVC_FAST_LISTEN: 0.0.0.0:1 can be reached from other machines; use unix:/path or loopback",
            id="fast-outside-for-everybody",
        ),
        pytest.param(
            {"AUTHSVC_FAST_ALLOW_PLAINTEXT": "yes"},
            "AUTHSVC_FAST_ALLOW_PLAINTEXT must be one of true, false",
            id="no-flag",
        ),
        pytest.param(
            {"AUTHSVC_DATABASE_URL": "hunter2"},
            "AUTHSVC_DATABASE_URL is not a database URL such as postgresql://user@host/database",
            id="no-url",
        ),
        pytest.param(
            {"AUTHSVC_DATABASE_URL": "postgresql://u:p@h:hunter2/x"},
            "AUTHSVC_DATABASE_URL is not a database URL such as postgresql://user@host/database",
            id="bad-port",
        ),
        pytest.param(
            {"AUTHSVC_DATABASE_URL": "mysql://u:hunter2@h/x"},
            "AUTHSVC_DATABASE_URL names a database that is not supported; allowed: postgresql",
            id="other-database",
        ),
        pytest.param(
            {"AUTHSVC_DATABASE_URL": "postgresql://u:hunter2@db.example/x?sslmode=disable"},
            "AUTHSVC_DATABASE_URL: with sslmode disable or allow the database's traffic is not encrypted",
            id="database-in-clear",
        ),
        pytest.param(
            {"AUTHSVC_MIGRATE_DATABASE_URL": "postgresql:///x?host=localhost,db.example&sslmode=allow"},
            "AUTHSVC_MIGRATE_DATABASE_URL: with sslmode disable or allow the database's traffic is not encrypted",
            id="one-of-two-hosts",
        ),
        pytest.param(
            {"AUTHSVC_DATABASE_URL": "postgresql://u:hunter2@db.example/x", "PGSSLMODE": "disable"},
            "AUTHSVC_DATABASE_URL: with sslmode disable or allow the database's traffic is not encrypted",
            id="database-in-clear-by-libpq",
        ),
    ],
)
def test_a_doubtful_environment_stops_the_start(environment: dict[str, str], told: str) -> None:
    """One line says which variable and why, and never a secret."""
    with pytest.raises(StartupError) as refused:
        Settings.from_environment(environment)

    assert str(refused.value).startswith(told)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://u@localhost/x?sslmode=disable", id="localhost"),
        pytest.param("postgresql://u@127.0.0.1/x?sslmode=disable", id="loopback"),
        pytest.param("postgresql://u@/x?host=/run/postgresql&sslmode=disable", id="socket"),
        pytest.param("sqlite:////var/lib/authsvc.db", id="sqlite"),
    ],
)
def test_a_local_database_needs_no_encryption(url: str) -> None:
    """What never leaves the machine may be in the clear."""
    assert Settings.from_environment({"AUTHSVC_DATABASE_URL": url}).database_url is not None


@pytest.mark.parametrize(
    "name",
    [
        "AUTHSVC_SERVICE_HOST",
        "AUTHSVC_SERVICE_PORT",
        "AUTHSVC_SERVICE_PORT_GRPC",
        "AUTHSVC_PORT",
        "AUTHSVC_PORT_50051_TCP",
        "AUTHSVC_PORT_50051_TCP_ADDR",
        "AUTHSVC_ADMIN_SERVICE_HOST",
        "AUTHSVC_ADMIN_PORT_50052_TCP_PROTO",
    ],
)
def test_variables_that_kubernetes_adds_are_no_mistake(name: str) -> None:
    """A Service of the same name must not stop the pods beside it."""
    assert Settings.from_environment({name: "tcp://10.0.0.1:50051"}).listen.port == 50051


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "host",
        "host:",
        "host:99999",
        "::1:80",
        "[::1]",
        "[1.2.3.4]:1",
        "127.1:80",
        "010.0.0.1:80",
        "a b:1",
        "unix:",
        "unix:relative",
        "unix:/" + "x" * 107,
        "http://host:1",
        "host:\u0661",
        "-host:1",
        "host:1\n",
    ],
)
def test_text_that_is_no_address(text: str) -> None:
    """Only a few plain forms are addresses."""
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("localhost:1", True),
        ("unix:/run/a.sock", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_what_only_this_machine_reaches(text: str, *, local: bool) -> None:
    """Loopback and sockets are local, everything else is not."""
    address = parse_address(text)

    assert address is not None
    assert local == address.is_local
    assert text == str(address)


def test_plaintext_to_other_machines_is_refused() -> None:
    """Without TLS and without the explicit flag a listener stays on this machine."""
    config = read(MINIMAL, Path("authsvc.yaml"))
    settings = Settings.from_environment({"AUTHSVC_LISTEN": "0.0.0.0:50051"})

    with pytest.raises(StartupError) as refused:
        check_plaintext(settings, config)

    assert str(refused.value) == (
        "AUTHSVC_LISTEN: 0.0.0.0:50051 can be reached from other machines and has no TLS; "
        "set listeners.data.tls, or accept it with listeners.data.allow_plaintext: true"
    )


@pytest.mark.parametrize(
    ("listeners", "environment"),
    [
        pytest.param(b"", {}, id="loopback"),
        pytest.param(TLS, {"AUTHSVC_LISTEN": "0.0.0.0:1", "AUTHSVC_ADMIN_LISTEN": "0.0.0.0:2"}, id="tls-and-accepted"),
    ],
)
def test_plaintext_where_it_may_be(listeners: bytes, environment: dict[str, str]) -> None:
    """Loopback, TLS and the explicit flag all do."""
    config = read(listeners + MINIMAL, Path("/etc/authsvc/authsvc.yaml"))

    check_plaintext(Settings.from_environment(environment), config)


def test_tls_files_are_beside_the_configuration() -> None:
    """Relative names do not depend on where the service was started."""
    tls = read(TLS + MINIMAL, Path("/etc/authsvc/authsvc.yaml")).data.tls

    assert tls is not None
    assert (Path("/etc/authsvc/c.pem"), Path("/etc/authsvc/k.pem"), None, 30.0) == (
        tls.certificate,
        tls.key,
        tls.client_ca,
        tls.reload,
    )
