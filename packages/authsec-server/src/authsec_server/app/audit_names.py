"""Look up the names that audit log filters contain: agents, delegations and administrators.

Each look-up is in the package that owns these names.
"""

from __future__ import annotations

from authsec_server.accounts.lookup import find_principal
from authsec_server.accounts.model import KeyRefusal, SignInRefusal
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.apis.credential import CredentialRefusal
from authsec_server.audit.query_parameters import Names
from authsec_server.clients import service as clients
from authsec_server.clients.enrolment import EnrolmentRefusal as EnrolmentReason
from authsec_server.db import Tx
from authsec_server.delegations import resolve
from authsec_server.failures import NotFound, NotPermitted
from authsec_server.tokens.decision import Reason as TokenReason


def _client(tx: Tx, slug: str) -> str | None:
    found = clients.find(tx, slug)
    return found.id if found else None


def _delegation(tx: Tx, id_or_slug: str) -> tuple[str, str] | None:
    try:
        found = resolve.stored(tx, id_or_slug)
    except NotFound:
        return None  # whoever asks says so, or looks for the id of one that is gone
    return found.id, found.client_id


_REASONS = (TokenReason, EnrolmentReason, CredentialRefusal, KeyRefusal, SignInRefusal, OpenIdRefusal)

NAMES = Names(
    client=_client,
    delegation=_delegation,
    person=find_principal,
    which_client=clients.which,
    which_delegation=resolve.which,
    reasons=frozenset(str(reason) for each in _REASONS for reason in each) | {NotPermitted.reason},
)
