"""The settings in the console: what is in force, where it comes from, and no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from authsec_server.console.settings import DURATIONS, GROUPS, value_of
from authsec_server.settings import Origin, Settings, load_settings
from pages import get
from starlette.testclient import TestClient

House = Any
PAGE = "/console/settings"
SECRET = "violet-tram-kiosk"


def rows(door: TestClient, query: str = "") -> dict[str, tuple[str, str]]:
    """Each setting's value and where it is from, as the page shows them."""
    page = get(door, f"{PAGE}?{query}")
    assert page.status == 200
    found = {}
    for row in page.html.split("<tr>")[2:]:
        texts = [part.split(">", 1)[1] for part in row.partition("</tr>")[0].split("<td")[1:]]
        cells = [unescape(_words(text.partition("</td>")[0])) for text in texts]
        found[row.partition("<code>")[2].partition("</code>")[0]] = (cells[0], cells[1])
    return found


def _words(html: str) -> str:
    return "".join(part.rpartition(">")[2] for part in html.split("<")).strip()


def test_every_setting_is_there_with_its_meaning(house: Callable[..., House]) -> None:
    door = house(local_operator=True).door()
    assert sorted(rows(door)) == sorted(f"AUTHSEC_SERVER_{name.upper()}" for name in Settings.model_fields)
    text = get(door, PAGE).text
    for field in Settings.model_fields.values():
        assert field.description
        assert "".join(field.description.replace("`", "").split()) in "".join(text.split())
    assert "The issuer of every token is http://127.0.0.1:7468" in text
    assert "To change a setting, change the server's configuration" in text


def test_each_setting_is_in_one_group_of_the_page(house: Callable[..., House]) -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(Settings.model_fields)
    page = get(house(local_operator=True).door(), PAGE)
    heads = re.findall(r'<th scope="rowgroup".*?>(.*?)</th>', page.html)
    assert heads == [*GROUPS]


def test_a_filter_shows_the_settings_with_a_text_and_those_that_are_changed(house: Callable[..., House]) -> None:
    door = house(local_operator=True, environment="STAGING", session_idle=5400).door()
    by_name, by_value, by_meaning = (rows(door, f"text={text}") for text in ("Oidc_", "staging", "OpenID"))
    assert list(by_name) == [f"AUTHSEC_SERVER_{name.upper()}" for name in GROUPS["Single sign-on"]]
    assert by_value == {"AUTHSEC_SERVER_ENVIRONMENT": ("STAGING", "command-line option")}
    assert "AUTHSEC_SERVER_OIDC_CLIENT_SECRET_FILE" in by_meaning
    changed = rows(door, "changed=yes")
    assert {"AUTHSEC_SERVER_ENVIRONMENT", "AUTHSEC_SERVER_SESSION_IDLE"} <= changed.keys()
    assert {origin for _, origin in changed.values()} == {"command-line option"}
    assert f"{len(changed)} of {len(Settings.model_fields)} settings" in get(door, f"{PAGE}?changed=yes").text
    assert list(rows(door, "changed=yes&text=session")) == ["AUTHSEC_SERVER_SESSION_IDLE"]
    words = rows(door, "text=Lifetime max token")
    assert list(words) == ["AUTHSEC_SERVER_MAX_TOKEN_LIFETIME"]
    nothing = get(door, f"{PAGE}?text=zzz")
    assert "No setting matches the filter." in nothing.text
    assert nothing.links["Show all"] == PAGE


def test_nothing_changed_is_said(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "origin", lambda *_: Origin.DEFAULT)
    door = house(local_operator=True).door()
    assert "All settings have their defaults." in get(door, f"{PAGE}?changed=yes").text
    assert "No changed setting matches the filter." in get(door, f"{PAGE}?changed=yes&text=token").text


def test_where_each_value_comes_from(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_ENVIRONMENT", "<PRODUCTION>")
    monkeypatch.setenv("AUTHSEC_SERVER_ALLOWED_HOSTS", "one.example, two.example")
    monkeypatch.setenv("AUTHSEC_SERVER_ADDRESS_LIMIT", "7")
    found = rows(house(local_operator=True, address_limit=9).door())
    assert found["AUTHSEC_SERVER_ENVIRONMENT"] == ("<PRODUCTION>", "environment variable")
    assert found["AUTHSEC_SERVER_ALLOWED_HOSTS"] == ("one.example, two.example", "environment variable")
    assert found["AUTHSEC_SERVER_ADDRESS_LIMIT"] == ("9", "command-line option")  # it outweighs the environment
    assert found["AUTHSEC_SERVER_CLIENT_LIMIT"] == ("600", "default")
    assert found["AUTHSEC_SERVER_TLS_CERT"] == ("not set", "default")
    assert found["AUTHSEC_SERVER_DPOP_NONCE"] == ("false", "default")  # as the variable is written


def test_where_nothing_is_set_it_says_what_counts(house: Callable[..., House], tmp_path: Path) -> None:
    found = rows(house(local_operator=True).door())
    assert found["AUTHSEC_SERVER_PUBLIC_URL"] == ("http://127.0.0.1:7468", "default, from HOST and PORT")
    for name, file in (("DATABASE", "authsec.sqlite3"), ("MASTER_KEY_FILE", "master.key")):
        value, origin = found[f"AUTHSEC_SERVER_{name}"]
        assert (Path(value).name, origin) == (file, "default, in DATA")
        assert Path(value).exists()
        assert Path(value).is_relative_to(tmp_path)


def test_what_was_set_to_nothing_is_told_from_what_was_not_set(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_ENVIRONMENT", "")
    found = rows(house(local_operator=True).door())
    assert found["AUTHSEC_SERVER_ENVIRONMENT"] == ("empty", "environment variable")
    assert found["AUTHSEC_SERVER_OIDC_ISSUER"] == ("not set", "default")


def test_durations_have_their_unit(house: Callable[..., House]) -> None:
    found = rows(house(local_operator=True, session_idle=5400, drain_seconds=2.5).door())
    told = {name.removeprefix("AUTHSEC_SERVER_").lower(): value for name, (value, _) in found.items()}
    assert {name: told[name] for name in DURATIONS} == {
        "max_token_lifetime": "1 day (86400 s)",
        "signing_key_max_age": "30 days (2592000 s)",
        "drain_seconds": "2.5 s",
        "session_idle": "1 hour 30 minutes (5400 s)",
        "session_lifetime": "12 hours (43200 s)",
        "bootstrap_key_lifetime": "1 day (86400 s)",
        "lookup_seconds": "30 s",
    }


def test_a_number_is_a_duration_or_a_count() -> None:
    """So that a setting that is added some day does not stand there without its unit."""
    numbers = {name for name, field in Settings.model_fields.items() if field.annotation in {int, float}}
    counts = {"port", "metrics_port", "address_limit", "unproved_limit", "client_limit", "max_in_flight", "workers"}
    counts |= {"audit_retention_days", "log_granted"}
    assert numbers == counts | DURATIONS


def test_every_meaning_is_a_sentence_of_its_own() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description
        assert field.description[0].isalnum(), name
        assert field.description.endswith("."), name


def test_it_shows_no_secret(house: Callable[..., House], tmp_path: Path, provider: Any) -> None:
    """Neither what stands in a setting nor what is in a file that a setting names."""
    secret = tmp_path / "client-secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    database = f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}"
    its = house(local_operator=True, database=database, oidc_client_secret_file=secret, **provider.settings)
    door = its.door()
    found = rows(door)
    assert found["AUTHSEC_SERVER_DATABASE"] == ("set, but hidden", "command-line option")
    assert found["AUTHSEC_SERVER_OIDC_CLIENT_SECRET_FILE"] == (str(secret), "command-line option")
    html = get(door, PAGE).html
    assert "elsewhere" not in html
    assert SECRET not in html
    (master,) = [path for path in tmp_path.iterdir() if "master" in path.name]
    assert master.read_text().strip() not in html


@pytest.mark.parametrize("url", [f"postgresql://u:{SECRET}@db.example/x", f"postgresql://db/x?password={SECRET}"])
def test_nothing_of_a_database_that_may_have_a_password_is_shown(url: str) -> None:
    settings = load_settings(database=url)
    assert value_of(settings, "database") == "set, but hidden"
    assert not any(SECRET in value_of(settings, name) for name in Settings.model_fields)


def test_what_is_called_a_secret_is_in_a_file_or_in_no_repr() -> None:
    """So that a setting that is added some day does not slip onto the page."""
    for name, field in Settings.model_fields.items():
        if any(word in name for word in ("password", "secret", "token", "key", "credential")):
            by_file = "Path" in str(field.annotation)
            is_number = field.annotation in {int, float}
            assert by_file or is_number or not field.repr, name


def test_the_environment_is_on_every_page(house: Callable[..., House]) -> None:
    door = house(local_operator=True, environment="STAGING").door()
    for path in (PAGE, "/console", "/console/nowhere", "/console/sign-in"):
        assert "Environment: STAGING" in get(door, path).text, path


def test_the_page_has_a_link_to_each_group(house: Callable[..., House]) -> None:
    page = get(house(local_operator=True).door(), PAGE)
    for group in GROUPS:
        assert f'id="{page.links[group].removeprefix("#")}"' in page.html
    assert "Limits" not in get(house(local_operator=True).door(), f"{PAGE}?text=oidc_scopes").links
