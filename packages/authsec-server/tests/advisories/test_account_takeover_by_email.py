"""Somebody has the OpenID provider write another's e-mail address into their claims, and signs in as that other.

Providers let people type addresses, give them to the next person, and differ in what "verified" means. Only issuer and
subject say who somebody is (OpenID Connect Core section 5.7); an address that is taken turns the newcomer away.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.audit.model import Named
from authsec_server.principal import LOCAL_OPERATOR, Role
from authsec_server.web.errors import Unauthenticated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
ISSUER = "https://login.example.com"


def come(entrance: Entrance, subject: str, email: str, issuer: str = ISSUER) -> Any:
    return entrance.sign_in.by_identity(
        issuer=issuer, subject=subject, email=email, name="Mallory", role=Role.VIEWER, caller=entrance.caller()
    )


@pytest.mark.parametrize("email", ["ann@example.com", "ANN@EXAMPLE.COM", " ann@example.com", "oda@example.com"])
def test_an_address_leads_to_no_account(entrance: Entrance, email: str) -> None:
    ann = entrance.first().administrator
    oda = come(entrance, "oda", "oda@example.com").administrator
    with pytest.raises(Unauthenticated, match="already has your e-mail address"):
        come(entrance, "mallory", email)
    event = entrance.events()[-1].event
    taken = ann if "ann" in email.lower() else oda
    assert (event.reason, event.subject) == ("identity_email_taken", Named(id=taken.id, name=taken.name))
    everybody, _ = entrance.database.read(lambda tx: administrators.page(tx, entrance.act(LOCAL_OPERATOR)))
    assert [(each.id, each.subject) for each in everybody] == [(ann.id, ""), (oda.id, "oda")]


def test_an_invitation_is_not_taken_up_by_an_address(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="bob@example.com", name="Bob", role=Role.ADMIN)
    )
    with pytest.raises(Unauthenticated):
        come(entrance, "mallory", "bob@example.com")


def test_the_same_subject_at_another_provider_is_somebody_else(entrance: Entrance) -> None:
    oda = come(entrance, "s-1", "oda@example.com").administrator
    other = come(entrance, "s-1", "other@example.com", issuer="https://evil.example.com").administrator
    assert other.id != oda.id


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20), number=st.integers(0, 3))
def test_nobody_is_ever_let_in_as_somebody_with_another_subject(entrance: Entrance, subject: str, number: int) -> None:
    try:
        came = come(entrance, subject, f"person{number}@example.com").administrator
    except Unauthenticated:
        return  # kept out, as it must be
    assert (came.issuer, came.subject) == (ISSUER, subject)
