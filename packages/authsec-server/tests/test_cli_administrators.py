"""`authsec admin` for people: set-up URLs, invitations, lists; as a person and as a program use it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

Authsec = Callable[..., Result]
URL = re.compile(r"http://127\.0\.0\.1:7468/console/set-up\?code=[A-Za-z0-9_-]{43}\n")


def invite(authsec: Authsec, email: str = "ann@example.com", role: str = "admin", name: str = "Ann") -> Result:
    return authsec("admin", "invite", email, "--name", name, "--role", role)


def listed(authsec: Authsec) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(authsec("admin", "list", "--json").stdout)["items"]
    return items


def test_the_url_is_alone_on_stdout(authsec: Authsec) -> None:
    """`URL=$(authsec admin setup-url)` holds it and nothing else; what is logged does not have it."""
    made = authsec("admin", "setup-url")
    assert made.exit_code == 0, made.output
    assert URL.fullmatch(made.stdout)
    assert "creates the first administrator. The URL works once, until 20" in made.stderr
    assert made.stdout.strip() not in made.stderr
    assert "--public-url" in made.stderr


def test_a_url_at_which_no_server_answers_is_marked(authsec: Authsec, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("AUTHSEC_SERVER_PUBLIC_URL", address)
        assert "No server answers" not in authsec("admin", "setup-url").stderr
    unanswered = authsec("admin", "setup-url")
    assert unanswered.stdout.startswith(address)
    assert f"No server answers at {address}. Start a server at this address, or give the address" in unanswered.stderr
    assert "--public-url" in unanswered.stderr
    assert "No server answers" not in authsec("admin", "setup-url", "--public-url", "http://127.0.0.1:9").stderr


def test_where_people_reach_the_console(authsec: Authsec) -> None:
    elsewhere = authsec("admin", "setup-url", "--public-url", "https://authsec.example.com/")
    assert elsewhere.stdout.startswith("https://authsec.example.com/console/set-up?code=")
    assert "--public-url" not in elsewhere.stderr
    program = authsec("admin", "setup-url", "--public-url", "https://authsec.example.com", "--json")
    assert program.stderr == ""
    assert json.loads(program.stdout)["url"].startswith("https://authsec.example.com/console/set-up?code=")


def test_a_url_over_plain_http_is_marked_since_the_console_refuses_it(authsec: Authsec) -> None:
    made = authsec("admin", "setup-url", "--public-url", "http://authsec.example.com")
    assert made.stdout.startswith("http://authsec.example.com/console/set-up?code=")
    assert "! The console does not work over plain http, so this URL is refused. Set AUTHSEC_" in made.stderr


def test_there_is_a_first_only_once(authsec: Authsec) -> None:
    assert URL.fullmatch(invite(authsec).stdout)
    refused = authsec("admin", "setup-url")
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert "authsec admin setup-url --email ADDRESS" in refused.stderr


def test_a_lost_password_and_a_sign_in(authsec: Authsec) -> None:
    invite(authsec)
    for _ in range(2):  # nobody had a password that could have ended
        reset = authsec("admin", "setup-url", "--email", "Ann@example.com")
        assert URL.fullmatch(reset.stdout)
        assert reset.stderr.startswith(
            "Ann@example.com now has no password and no session. This URL sets a new password."
        )
    once = authsec("admin", "setup-url", "--email", "ann@example.com", "--sign-in")
    assert URL.fullmatch(once.stdout)
    assert "signs ann@example.com in" in once.stderr


def test_what_cannot_be_made(authsec: Authsec) -> None:
    for arguments, status, said in [
        (["setup-url", "--sign-in"], 2, "--sign-in needs --email"),
        (["setup-url", "--email", "b@example.com"], 1, "There is no administrator 'b@example.com'"),
        (["setup-url", "--email", "\x1b[2J"], 1, "There is no administrator"),
        (["invite", "ann", "--name", "A", "--role", "admin"], 1, "must be an e-mail address"),
        (["invite", "a@b", "--name", "A", "--role", "root"], 2, "'root' is not one of"),
        (["invite", "a@b", "--role", "viewer"], 2, "Missing option '--name'"),
        (["disable", "b@example.com"], 1, "See the list: authsec admin list"),
        (["disable", "../keys"], 2, "neither an id nor a slug"),
    ]:
        refused = authsec("admin", *arguments)
        assert (refused.exit_code, refused.stdout) == (status, ""), arguments
        assert said in refused.stderr
        assert "\x1b[2J" not in refused.stderr


def test_the_list_and_what_can_be_turned(authsec: Authsec) -> None:
    invite(authsec)
    invite(authsec, "bob@example.com", "viewer", "Bob [red]x[/red]")
    shown = authsec("admin", "list").stdout
    assert "Bob [red]x[/red]" in shown
    assert shown.count("invited") == 2
    assert authsec("admin", "disable", "bob@example.com").stdout == "bob@example.com is disabled.\n"
    assert authsec("admin", "list").stdout.count("disabled") == 1
    assert [each["disabled_at"] is None for each in listed(authsec)] == [True, False]
    refused = authsec("admin", "setup-url", "--email", "bob@example.com")
    assert (refused.exit_code, "is disabled" in refused.stderr) == (4, True)
    assert authsec("admin", "enable", "bob@example.com").stdout == "bob@example.com is enabled.\n"
    assert authsec("admin", "end-sessions", "bob@example.com").stdout == "bob@example.com is signed out everywhere.\n"
    assert all(each["disabled_at"] is None for each in listed(authsec))


def test_a_lost_phone(authsec: Authsec) -> None:
    invite(authsec)
    done = authsec("admin", "reset-second-factor", "ann@example.com")
    assert done.exit_code == 0, done.output
    assert "ann@example.com has no second factor and is signed out everywhere." in done.stdout
    assert listed(authsec)[0]["has_second_factor"] is False
