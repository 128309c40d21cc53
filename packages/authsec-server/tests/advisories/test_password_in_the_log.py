"""A password, a cookie or a link's code turns up in a log: in a repr, in an exception's text, in the audit log."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from authsec_server.accounts import transactions
from authsec_server.accounts.model.sessions import BrowserCaller
from authsec_server.failures import Failure, Invalid
from authsec_server.web.errors import TooOften, Unauthenticated

Entrance = Any
MARKED = "QJXQJXQJX secret"


def test_nothing_shows_itself(entrance: Entrance) -> None:
    link = entrance.sign_in.first_link()
    new = entrance.sign_in.set_up_first(
        link.code, email="ann@example.com", name="Ann", password=entrance.password, caller=entrance.caller()
    )
    account = entrance.database.read(lambda tx: transactions.account(tx, "ann@example.com"))
    assert account.password_hash.startswith("$argon2id$")
    shown = repr(
        [
            link,
            new,
            account,
            BrowserCaller(request_id="req_00000000000000000000000r", address="", cookie=new.cookie),
            entrance.sign_in,
        ]
    )
    for secret in (link.code, new.cookie, account.password_hash, entrance.password):
        assert secret not in shown
        assert secret not in repr(entrance.events())


def attempts(entrance: Entrance) -> list[Any]:
    """Ways to fail with a secret in hand."""
    sign_in, caller = entrance.sign_in, entrance.caller(cookie=MARKED)
    link = entrance.sign_in.first_link()
    given = {"email": "ann@example.com", "name": "Ann"}
    return [
        lambda: sign_in.by_password("ann@example.com", MARKED, caller),
        lambda: sign_in.by_password("ann@example.com", MARKED * 100, caller),
        lambda: sign_in.set_up_first(link.code, password=f"{MARKED}\n", caller=caller, **given),
        lambda: sign_in.set_up_first(link.code, password=MARKED * 100, caller=caller, **given),
        lambda: sign_in.set_up_first(MARKED, password=entrance.password, caller=caller, **given),
        lambda: sign_in.set_password(MARKED, password=MARKED, caller=caller),
        lambda: sign_in.by_link(MARKED, caller),
    ]


def test_no_failure_tells(entrance: Entrance) -> None:
    for attempt in attempts(entrance):
        with pytest.raises((Failure, Unauthenticated, TooOften)) as failed:
            attempt()
        error = failed.value
        remedy = error.remedy if isinstance(error, Failure) else ""
        told = "".join(traceback.format_exception(error)) + repr(error) + str(error) + remedy
        assert "QJX" not in told
        assert not isinstance(error, Invalid) or "QJX" not in error.field
    assert "QJX" not in repr(entrance.events())
