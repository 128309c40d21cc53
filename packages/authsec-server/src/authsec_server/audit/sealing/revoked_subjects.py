"""The subjects whose tokens an event of a change revoked. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from authsec_server.audit.model import LISTING_ENDED, EventKind

_CLIENT_ENDS: Final = {EventKind.CLIENT_DISABLED, EventKind.CLIENT_TOKENS_REVOKED, EventKind.CLIENT_DELETED}
_DELEGATION_ENDS: Final = {EventKind.DELEGATION_DISABLED, EventKind.DELEGATION_REVOKED}
_OF_ONE_DELEGATION: Final = {*_DELEGATION_ENDS, EventKind.DELEGATION_EDITED}
_TRUSTED_ISSUER_ENDS: Final = {EventKind.ISSUER_DISABLED, EventKind.ISSUER_DELETED}


def revoked_by(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the kind and the id of each subject whose tokens the event revoked."""
    kind, detail = event["kind"], event["detail"]
    if kind in LISTING_ENDED:
        yield from ((each["kind"], each["id"]) for each in detail["ended"])
    elif kind in _CLIENT_ENDS:
        yield "client", event["client_id"]
    elif kind in _DELEGATION_ENDS:
        yield "delegation", next((each["id"] for each in event["delegations"]), None)
    elif kind in _TRUSTED_ISSUER_ENDS:
        yield "source", event["subject_id"]  # the name of a trusted issuer in the revocation feed
    elif kind == EventKind.ROLE_DELETED:
        yield "role", detail.get("slug")
    elif kind == EventKind.KEY_REVOKED:
        yield "key", event["kid"]
    elif kind == EventKind.TOKEN_REVOKED:
        yield "token", event["jti"]


def act_of(event: Mapping[str, Any]) -> bytes:
    """Return a digest that is the same for all events of one act in one change, and differs for different acts.

    The attack: the deletion of a role with 301 delegations has two events. So one copy of its row looked explained.
    The ids of an event can have 80,000 characters, and `verify` stores the digest for each of 2,000 ended subjects.
    """
    its = [event[name] for name in ("kind", "client_id", "subject_id", "kid", "jti")]
    its += [each["id"] for each in event["delegations"]] if event["kind"] in _OF_ONE_DELEGATION else []
    return hashlib.sha256(json.dumps(its).encode()).digest()
