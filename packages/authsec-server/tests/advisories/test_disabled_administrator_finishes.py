"""An administrator is let go. A request that they had begun before, its body sent afterwards, changes one more thing.

Every change asks again, under the lock under which it is made, whether session and administrator still stand. And who
was shut out while their password was being checked does not come in with the answer.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import anyio
import pytest
from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.model.sessions import NewSession
from authsec_server.audit import service as audit
from authsec_server.delegations.dry_run_impact import ImpactProvider
from authsec_server.delegations.model import Terms
from authsec_server.principal import Role
from authsec_server.roles import service as roles
from authsec_server.web.errors import Unauthenticated
from authsec_server.web.unit_of_work import UnitOfWork

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
ENDINGS = ["disabled", "demoted", "reset", "signed out", "expired"]


def end(entrance: Entrance, ann: NewSession, bob: NewSession, ending: str) -> None:
    act, whom = entrance.act(ann), bob.administrator.id
    verbs: dict[str, Any] = {
        "disabled": lambda tx: administrators.disable(tx, act, whom),
        "demoted": lambda tx: administrators.change_role(tx, act, whom, Role.VIEWER, revision=1),
        "reset": lambda tx: administrators.reset(tx, act, whom),
        "signed out": lambda tx: sessions.end(tx, act, bob.session.id),
    }
    if ending == "expired":
        entrance.clock.at += timedelta(hours=1)
    else:
        entrance.database.change(verbs[ending])


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_was_begun_before_is_not_finished(entrance: Entrance, ending: str) -> None:
    ann, bob = entrance.first(), entrance.another("bob@example.com")
    site = UnitOfWork(
        database=entrance.database,
        now=entrance.clock.now,
        token_bytes=secrets.token_bytes,
        authenticate=entrance.sessions,
        impact=ImpactProvider(terms=Terms(max_token_lifetime=3600, default_audience="authsec-api")),
        count_refusal=audit.count_not_permitted,
        complete=lambda _tx, _act: None,
    )
    begun = entrance.act(entrance.principal(bob.cookie))

    async def finish() -> None:
        await site.change(begun, lambda tx, act: roles.create(tx, act, name="Backdoor", actions=["a:b"]))

    end(entrance, ann, bob, ending)
    with pytest.raises(Unauthenticated):
        anyio.run(finish)
    assert entrance.database.read(lambda tx: roles.page(tx, entrance.act(ann)))[0] == []


def test_a_session_is_its_administrators_only(entrance: Entrance) -> None:
    """Somebody else's session vouches for nobody, whoever put the two together."""
    ann, bob = entrance.first(), entrance.another("bob@example.com", Role.VIEWER)
    mixed = ann.administrator.principal(bob.session.id)
    with pytest.raises(Unauthenticated):
        entrance.database.read(lambda tx: entrance.sessions.confirm(tx, mixed))


@pytest.mark.parametrize("ending", ["disabled", "reset"])
def test_shut_out_while_the_password_was_checked(entrance: Entrance, ending: str) -> None:
    ann, bob = entrance.first(), entrance.another("bob@example.com")
    hashing = entrance.sign_in._hashing

    class Meanwhile:
        def verify(self, password_hash: str | None, typed: str) -> bool:
            right: bool = hashing.verify(password_hash, typed)
            end(entrance, ann, bob, ending)
            return right

        def is_outdated(self, _hash: str) -> bool:
            return False

    entrance.sign_in._hashing = Meanwhile()
    with pytest.raises(Unauthenticated):
        entrance.sign_in.by_password("bob@example.com", entrance.password, entrance.caller())
    terms, whose = entrance.sessions.terms, bob.administrator.id
    assert entrance.database.read(lambda tx: sessions.of(tx, entrance.act(ann), whose, terms=terms)) == []
