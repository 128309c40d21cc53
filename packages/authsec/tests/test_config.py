"""`AuthSecConfig`: what is accepted, and what the error tells the person to do."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecConfig, ConfigError
from authsec.config import export_line, is_loopback
from hypothesis import given
from hypothesis import strategies as st

CLIENT_ID = "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
URL = "https://authsec.example.com"


def config(**settings: Any) -> AuthSecConfig:
    return AuthSecConfig(**{"base_url": URL, "client_id": CLIENT_ID, **settings})


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        (URL, f"{URL}/authsec/x"),
        (f"{URL}/", f"{URL}/authsec/x"),
        (f"{URL}:8443/tenant/a/", f"{URL}:8443/tenant/a/authsec/x"),
        ("http://localhost:7468", "http://localhost:7468/authsec/x"),
        ("http://127.0.0.1:7468", "http://127.0.0.1:7468/authsec/x"),
        ("http://[::1]:7468/", "http://[::1]:7468/authsec/x"),
    ],
)
def test_the_sdk_appends_its_paths_to_the_server_root(base_url: str, endpoint: str) -> None:
    assert config(base_url=base_url).url("x") == endpoint


@pytest.mark.parametrize(
    "base_url",
    [
        "authsec.example.com",
        "ftp://authsec.example.com",
        "https://",
        "https:///path",
        "https://a.example:0",
        "https://a.example:99999",
        "https://a.example:x",
        "https://[::1",
        "https://a.example/a b",
        "https://a.example\\@b.example",
        "https://a.example/\n",
        "https://ä.example",
        f"{URL}?client_id=1",
        f"{URL}?",
        f"{URL}#",
        "https://user@a.example",
        "https://user:hunter2@a.example",
    ],
)
def test_what_is_not_a_server_root_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(base_url=base_url)
    assert caught.value.reason == "base_url_invalid"
    assert not caught.value.retryable
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("authsec.example.com", "https://authsec.example.com"),
        ("authsec.example.com:8443/prefix", "https://authsec.example.com:8443/prefix"),
        ("localhost:7555", "http://localhost:7555"),
        ("[::1]:7555/", "http://[::1]:7555/"),
        ("user:hunter2@a.example", None),
    ],
)
def test_without_the_scheme_the_line_is_shown_with_it(address: str, meant: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        config(base_url=address)
    assert ("lacks its scheme" in str(caught.value)) is (meant is not None)
    assert "hunter2" not in str(caught.value)
    if meant:
        assert str(caught.value).endswith(f'\n    export AUTHSEC_BASE_URL="{meant}"')


def test_a_missing_setting_shows_the_line_to_add() -> None:
    with pytest.raises(ConfigError, match='export AUTHSEC_BASE_URL="https://') as caught:
        AuthSecConfig.from_env(client_id=CLIENT_ID)
    assert caught.value.reason == "base_url_missing"
    assert 'export AUTHSEC_AGENT_CLIENT_ID="' not in str(caught.value)
    with pytest.raises(ConfigError) as both:
        AuthSecConfig(base_url="", client_id="")
    assert str(both.value).endswith(
        '\n    export AUTHSEC_BASE_URL="https://YOUR-AUTHORITY"\n    export AUTHSEC_AGENT_CLIENT_ID="YOUR-CLIENT-ID"'
    )
    with pytest.raises(ConfigError, match='export AUTHSEC_AGENT_CLIENT_ID="') as caught:
        AuthSecConfig.from_env(base_url=URL)
    assert caught.value.reason == "client_id_missing"


def test_plain_http_is_for_loopback_and_named_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r'export AUTHSEC_ALLOW_HTTP_HOSTS="authsec\.internal"'):
        config(base_url="http://authsec.internal:7468")
    assert config(base_url="http://authsec.internal", allow_http_hosts=("AuthSec.Internal",))
    monkeypatch.setenv("AUTHSEC_ALLOW_HTTP_HOSTS", "other.internal, authsec.internal")
    assert config(base_url="http://authsec.internal:7468").allow_http_hosts == ("other.internal", "authsec.internal")
    with pytest.raises(ConfigError):
        config(base_url="http://authsec.internal.example.com")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "client_id", [CLIENT_ID.upper(), f"{{{CLIENT_ID}}}", f"urn:uuid:{CLIENT_ID}", CLIENT_ID.replace("-", "")]
)
def test_another_spelling_of_a_client_id_is_refused_with_the_right_one(client_id: str) -> None:
    with pytest.raises(ConfigError, match=f'AUTHSEC_AGENT_CLIENT_ID="{CLIENT_ID}"'):
        config(client_id=client_id)


def test_a_slug_is_not_a_client_id() -> None:
    with pytest.raises(ConfigError, match=r"client_id, not its slug\. `authsec agents list` shows it"):
        config(client_id="customer-support")
    with pytest.raises(ConfigError, match=r"must be the agent's id\. `authsec agents list` shows it"):
        config(client_id="Customer Support")


def test_the_placeholder_of_the_docs_is_told_as_one() -> None:
    with pytest.raises(ConfigError, match=r"your-client-id is the placeholder of the docs\. .*`authsec agents list`"):
        config(client_id="your-client-id")


@pytest.mark.parametrize("client_id", [f"{CLIENT_ID} ", f" {CLIENT_ID}", f"{CLIENT_ID}\n"])
def test_blanks_around_a_client_id_are_named(client_id: str) -> None:
    with pytest.raises(ConfigError, match="has spaces at its start or end") as caught:
        config(client_id=client_id)
    assert str(caught.value).endswith(f'AUTHSEC_AGENT_CLIENT_ID="{CLIENT_ID}"')


@given(st.text(min_size=1))
def test_a_client_id_is_never_anything_but_a_canonical_uuid(client_id: str) -> None:
    try:
        accepted = config(client_id=client_id)
    except ConfigError:  # refused, as most texts are
        return
    assert len(accepted.client_id) == 36
    assert set(accepted.client_id) <= set("0123456789abcdef-")


@pytest.mark.parametrize(
    "settings", [{"timeout": 0}, {"timeout": 301}, {"timeout": float("nan")}, {"refresh_margin": -1}]
)
def test_impossible_times_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        config(**settings)


def test_the_environment_fills_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", f" {URL} ")
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUTHSEC_ISSUER", "https://issuer.example.com")
    monkeypatch.setenv("AUTHSEC_CA_FILE", "/etc/ca.pem")
    found = AuthSecClient().config
    assert found == AuthSecConfig.from_env()
    assert (found.base_url, found.client_id) == (URL, CLIENT_ID)
    assert (found.issuer, found.ca_file) == ("https://issuer.example.com", "/etc/ca.pem")
    assert AuthSecClient(base_url="https://other.example").config.base_url == "https://other.example"
    assert config().issuer == "https://issuer.example.com"


def test_a_config_and_its_parts_at_once_is_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        AuthSecClient(config(), base_url=URL)


def test_a_config_is_a_value() -> None:
    assert config() == config()
    assert pickle.loads(pickle.dumps(config())) == config()  # noqa: S301 - our own bytes
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().base_url = "https://elsewhere.example"


def test_the_line_to_add_is_for_the_shell_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert export_line("A", "b") == 'export A="b"'
    monkeypatch.setattr("authsec.config.os.name", "nt")
    assert export_line("A", "b") == '$env:A = "b"'
