"""A made-up event in which every column has a value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.principal import LOCAL_OPERATOR


def full_event(number: int, began: datetime, detail: Mapping[str, Any]) -> Event:
    """Make the event of an issued token, so many seconds after `began`.

    It has more delegations than roles. So no check asks who created the delegation, and with which role.
    """
    named = Named(id=f"id-{number}", name=f"Name {number}")
    other = Named(id=f"other-{number}", name=f"Other {number}")
    return Event(
        at=began + timedelta(seconds=number),
        kind=EventKind.TOKEN_ISSUED,
        request_id=f"req_{number:024}",
        principal=LOCAL_OPERATOR,
        client=named,
        delegations=(named, other),
        roles=(named,),
        subject=named,
        decision=Decision.GRANTED,
        reason="because",
        address="192.0.2.1",
        authority_version=number,
        jti=f"{number:032}",
        kid="kid",
        token_sha256="00" * 32,
        expires_at=began + timedelta(hours=1),
        detail=detail,
    )
