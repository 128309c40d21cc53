"""Settings: safe when absent, refused with the line to add when they cannot work."""

from __future__ import annotations

import pytest
from authsec_server.cli.greeting import place
from authsec_server.failures import StartupRefused
from authsec_server.settings import is_loopback, load_settings
from sqlalchemy import make_url


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("AUTHSEC"):
            monkeypatch.delenv(name)


def test_the_defaults_are_loopback_and_sqlite() -> None:
    settings = load_settings()
    assert settings.issuer == "http://127.0.0.1:7468"
    assert settings.database_url.startswith("sqlite:////")
    assert settings.database_url.endswith("/authsec-data/authsec.sqlite3")


def test_the_environment_counts_and_the_command_line_counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_PORT", "1234")
    monkeypatch.setenv("AUTHSEC_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.1")
    assert load_settings().port == 1234
    assert load_settings(port=99).port == 99
    assert load_settings(port=None).port == 1234
    assert load_settings().trusted_proxies == ("10.0.0.0/8", "192.168.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "authsec.internal"])
def test_off_loopback_the_public_url_must_be_given(host: str) -> None:
    with pytest.raises(StartupRefused) as refused:
        _ = load_settings(host=host).issuer
    assert "AUTHSEC_SERVER_PUBLIC_URL=https://" in refused.value.remedy
    assert load_settings(host=host, public_url="https://a.example/").issuer == "https://a.example"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_url", "authsec.example.com"),
        ("public_url", "https://a.example/path"),
        ("public_url", "https://a.example?x=1"),
        ("public_url", "https://user@a.example"),
        ("public_url", "ftp://a.example"),
        ("port", "70000"),
        ("port", "http"),
        ("max_token_lifetime", "0"),
        ("max_token_lifetime", "99999999"),
        ("trusted_proxies", "everyone"),
        ("trust_domain", "Example.ORG"),
        ("tls_cert", "cert.pem"),
        ("default_audience", ""),
        ("log_format", "xml"),
    ],
)
def test_what_cannot_work_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"AUTHSEC_SERVER_{name.upper()}", value)
    with pytest.raises(StartupRefused, match="AUTHSEC_SERVER_"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "abc", "AUTHSEC_SERVER_PORT: must be a whole number."),
        ("port", "70000", "AUTHSEC_SERVER_PORT: must be at most 65535."),
        ("drain_seconds", "x", "AUTHSEC_SERVER_DRAIN_SECONDS: must be a number."),
        ("default_audience", "", "AUTHSEC_SERVER_DEFAULT_AUDIENCE: must not be empty."),
        ("environment", "x" * 41, "AUTHSEC_SERVER_ENVIRONMENT: may have at most 40 characters."),
        ("log_format", "xml", "AUTHSEC_SERVER_LOG_FORMAT: must be one of auto, json, text."),
    ],
)
def test_what_is_wrong_with_a_value_is_said_plainly(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"AUTHSEC_SERVER_{name.upper()}", value)
    with pytest.raises(StartupRefused) as refused:
        load_settings()
    assert refused.value.message == f"These settings are not valid. {said}"


@pytest.mark.parametrize("given", [{}, {"port": 7468}])
def test_a_misspelt_setting_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch, given: dict[str, int]) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_DATTA", "/srv/s3cret")
    with pytest.raises(StartupRefused, match="'AUTHSEC_SERVER_DATTA' is not a setting; the nearest is") as refused:
        load_settings(**given)
    assert "AUTHSEC_SERVER_DATA." in refused.value.message
    assert "s3cret" not in refused.value.message


@pytest.mark.parametrize("service", ["", "DB_", "METRICS_SIDE_"])
def test_what_kubernetes_says_of_a_service_of_a_like_name_is_no_misspelling(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    links = (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        *(f"PORT_7468_TCP{of}" for of in ("", "_PROTO", "_ADDR")),
    )
    for name in links:
        monkeypatch.setenv(f"AUTHSEC_SERVER_{service}{name}", "10.0.0.7")
    if service:
        monkeypatch.setenv(f"AUTHSEC_SERVER_{service}PORT", "tcp://10.0.0.7:7468")
    assert load_settings().port == 7468


def test_the_port_that_kubernetes_sets_is_told_with_what_keeps_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_PORT", "tcp://10.0.0.7:7468")
    with pytest.raises(StartupRefused, match="AUTHSEC_SERVER_PORT") as refused:
        load_settings()
    assert "`enableServiceLinks: false`" in refused.value.remedy
    assert load_settings(port=7468).port == 7468


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_usual_spelling_of_postgresql(scheme: str) -> None:
    url = load_settings(database=f"{scheme}://u@h/d").database_url
    assert url == "postgresql+psycopg://u@h/d"


def test_an_ipv6_loopback_issuer_has_brackets() -> None:
    assert load_settings(host="::1").issuer == "http://[::1]:7468"


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "example.com", "10.0.0.1")))


@pytest.mark.parametrize(
    "url", ["postgresql://joe:s3cret@db.example/authsec", "postgresql:///authsec?host=db.example&password=s3cret"]
)
def test_a_database_password_is_in_no_repr_and_not_in_what_serve_says(url: str) -> None:
    settings = load_settings(database=url)
    assert "s3cret" not in repr(settings)
    assert place(settings.database_url) == "PostgreSQL database authsec at db.example"


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("postgresql://u:p%40@db1,db2/d?target_session_attrs=read-write", {"host": "db1,db2", "password": "p@"}),
        ("postgresql://u@db1:5433,db2:5434/d", {"host": "db1,db2", "port": "5433,5434"}),
        ("postgres://db1:5433,db2", {"host": "db1,db2", "port": "5433,"}),
        ("postgresql://u@db1:5433/d", {"host": "db1", "port": 5433}),
    ],
)
def test_a_database_url_may_name_several_hosts(url: str, arguments: dict[str, object]) -> None:
    made = make_url(load_settings(database=url).database_url)
    _, connect = made.get_dialect()().create_connect_args(made)
    assert arguments.items() <= connect.items()
    if "target_session_attrs" in url:
        assert connect["target_session_attrs"] == "read-write"
        assert place(str(made)) == "PostgreSQL database d at db1, db2"


@pytest.mark.parametrize("hosts", ["db1:port,db2", "db1,", "db1,db 2", "db1:0x1,db2:2"])
def test_each_of_several_hosts_has_a_name(hosts: str) -> None:
    with pytest.raises(StartupRefused, match="AUTHSEC_SERVER_DATABASE"):
        load_settings(database=f"postgresql://u:s3cret@{hosts}/d")
