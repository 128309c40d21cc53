"""At many providers people type their e-mail address themselves. Typing an administrator's does not make you them.

An account that is found by e-mail address is taken over by whoever may choose one (as with Entra ID, "nOAuth").
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.model.sessions import BrowserCaller
from authsec_server.web.errors import Unauthenticated

CALLER = BrowserCaller(request_id="req_00000000000000000000test", address="198.51.100.7")


def enter(its: Any, identity: Any) -> Any:
    return its.authority.sign_in.by_identity(
        issuer=identity.issuer,
        subject=identity.subject,
        email=identity.email,
        name=identity.name,
        role=identity.role,
        caller=CALLER,
    )


def test_the_account_of_an_address_is_not_opened_by_the_address(house: Any, provider: Any) -> None:
    its, sign_in = house(), provider.sign_in()
    provider.claims |= {"sub": "ann", "email": "ann@example.com", "name": "Ann"}
    ann = enter(its, provider.walk(sign_in).identity)
    for verified in (None, False, True, "true"):
        provider.claims |= {"sub": "mallory", "email": "ANN@example.com", "email_verified": verified}
        identity = provider.walk(sign_in).identity
        assert identity.email_verified is (verified is True)
        with pytest.raises(Unauthenticated):
            enter(its, identity)
    provider.claims |= {"sub": "ann", "email": "ann@new.example.com"}  # the person stays who they are
    assert enter(its, provider.walk(sign_in).identity).administrator.id == ann.administrator.id


def test_nor_is_that_of_somebody_invited(house: Any, provider: Any, act: Any) -> None:
    its = house()
    its.authority.database.change(
        lambda tx: administrators.invite(tx, act, email="ann@example.com", name="Ann", role=act.principal.role)
    )
    provider.claims |= {"sub": "mallory", "email": "ann@example.com", "roles": ["viewers"]}
    with pytest.raises(Unauthenticated):
        enter(its, provider.walk(provider.sign_in()).identity)
