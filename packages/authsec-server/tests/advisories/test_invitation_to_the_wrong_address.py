"""An invitation goes to a mistyped address, and a stranger has it now. The address is mended, the link still good.

Whoever has the link would choose the password of the account, under the right address. So with another address its open
links end; a new one is made by a reset.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.model.administrators import LinkStatus
from authsec_server.failures import Conflict
from authsec_server.principal import Role

Entrance = Any


def test_what_was_sent_to_the_old_address_opens_nothing(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    invited, link = entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="bob@exmaple.com", name="Bob", role=Role.ADMIN)
    )
    entrance.database.change(
        lambda tx: administrators.change_email(tx, act, invited.id, "bob@example.com", revision=invited.revision)
    )
    assert entrance.sign_in.find_link(link.code).status is LinkStatus.VOIDED
    with pytest.raises(Conflict, match="no longer valid"):
        entrance.sign_in.set_password(link.code, password=entrance.password, caller=entrance.caller("198.51.100.7"))
    _, again = entrance.database.change(lambda tx: administrators.reset(tx, act, invited.id))
    assert entrance.sign_in.set_password(again.code, password=entrance.password, caller=entrance.caller())


def test_an_address_that_stays_leaves_the_link(entrance: Entrance) -> None:
    act = entrance.act(entrance.first())
    invited, link = entrance.database.change(
        lambda tx: administrators.invite(tx, act, email="bob@example.com", name="Bob", role=Role.ADMIN)
    )
    entrance.database.change(
        lambda tx: administrators.change_email(tx, act, invited.id, " BOB@example.com", revision=invited.revision)
    )
    assert entrance.sign_in.find_link(link.code).open
