"""An administrator of the database deletes, moves or inserts the revocation of an edit, and leaves the event as it is.

Some edits of a role revoke tokens, others revoke none. The event lists what the edit has ended.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.roles import service as roles
from long_runs import some_of
from sealed_estate import Sealed, sealed_estate

pytestmark = pytest.mark.sqlite_suffices

INSERTED = (
    "INSERT INTO revocations SELECT 1000, 'role', 'support', (SELECT max(authority_version) FROM events),"
    " (SELECT max(at) FROM events WHERE kind = 'role.edited')"
)
INSERTED_EVENT = (
    "INSERT INTO events (id, at, kind, request_id, delegations, roles, reason, address, authority_version, jti, kid,"
    " token_sha256, detail, occurrences) SELECT max(id) + 1, max(at), '{kind}', 'req_000000000000000000000001',"
    " '[]', '[]', '', '', 1, '', '', '', '{{}}', 1 FROM events"
)
WAYS = {
    "deleted": "DELETE FROM revocations WHERE subject_kind = 'role'",
    "of another role": "UPDATE revocations SET subject_id = 'other' WHERE subject_kind = 'role'",
    "of something else": "UPDATE revocations SET subject_kind = 'client' WHERE subject_kind = 'role'",
    "inserted for an edit that ended nothing": INSERTED,
}


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """A role that lost an action, and after that got another description."""
    its = sealed_estate(estate)
    _edit(estate, 1, "", ("customers:read",))
    _edit(estate, 2, "Help", ("customers:read",))
    its.seal()
    assert its.findings() == ()
    return its


def _edit(estate: Any, revision: int, description: str, actions: tuple[str, ...]) -> None:
    what = {"name": "Support", "description": description, "actions": actions}
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=revision, changes=what))


@pytest.mark.parametrize("way", some_of(WAYS, each=2))
def test_a_changed_revocation_of_an_edit_is_found(sealed: Sealed, way: str) -> None:
    _, found = sealed.after(WAYS[way])
    assert "revocations" in found


@pytest.mark.parametrize(
    "kind", some_of(["role.edited", "delegation.edited", "issuer.edited", "proof.removed"], each=2)
)
def test_an_inserted_event_that_does_not_list_what_it_ended_is_found(sealed: Sealed, kind: str) -> None:
    _, found = sealed.after(INSERTED_EVENT.format(kind=kind))
    assert "has a form that AuthSec does not write" in found
