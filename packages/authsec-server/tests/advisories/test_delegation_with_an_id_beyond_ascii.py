"""Raw SQL inserts a delegation or a role for a moment, with an id that is not printable ASCII.

`verify` compares the ids of events in SQLite, which refuses some texts. So no event has such an id, and no server
issues a token for such a row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.store import row_of
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.roles import service as roles
from long_runs import mostly_on_sqlite

sys.path.insert(0, str(Path(__file__).parent))
from test_role_of_a_delegation_exchanged_for_a_moment import Place

TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
STEM = "5f0c0000-0000-4000-8000-00000000000"
FORMS = {"a letter": f"{STEM}\u00e9", "a control character": f"{STEM}\x7f"}


@pytest.fixture
def place(house_on_each: Callable[..., Any]) -> Place:
    its = house_on_each(local_operator=True)
    place = Place(its, its.delegated_name(), "")
    create = its.authority.database.change
    place.role_id = create(lambda tx: roles.create(tx, place.act, name="Spare", actions=["customers:read"])).id
    return place


@pytest.mark.parametrize("id_", mostly_on_sqlite(FORMS, "a letter"), ids=FORMS)
def test_a_delegation_with_such_an_id_gives_no_token(place: Place, id_: str) -> None:
    """The delegation that an operator has revoked is inserted again under another id."""
    its = place.its.authority.database
    (slug,) = its.read(lambda tx: tx.connection.exec_driver_sql("SELECT id FROM delegations").scalars().all())
    its.change(lambda tx: delegations.revoke(tx, place.act, slug, TERMS))
    place.execute(
        "CREATE TABLE kept AS SELECT * FROM delegations",
        f"UPDATE kept SET id = '{id_}', slug = 'other', revoked_at = NULL",
        "INSERT INTO delegations SELECT * FROM kept",
        "UPDATE authority SET change_id = 'x'",  # the server reads the rows again
    )
    place.its.clock.at += timedelta(minutes=11)
    assert place.status(place.client_id) == 410
    place.execute(f"DELETE FROM delegations WHERE id = '{id_}'", "DROP TABLE kept")
    assert place.findings() == ""


@pytest.mark.sqlite_suffices
def test_a_role_with_such_an_id_gives_no_token(place: Place) -> None:
    agent, other = place.its.delegated_name("Other"), FORMS["a letter"]
    place.execute(
        f"CREATE TABLE role AS SELECT * FROM roles WHERE id = '{place.role_id}'",
        f"CREATE TABLE acts AS SELECT * FROM role_actions WHERE role_id = '{place.role_id}'",
        f"UPDATE role SET id = '{other}', slug = 'other', name = 'Other'",
        f"UPDATE acts SET role_id = '{other}'",
        "INSERT INTO roles SELECT * FROM role",
        "INSERT INTO role_actions SELECT * FROM acts",
        f"UPDATE delegations SET role_id = '{other}' WHERE client_id = '{agent}'",
    )
    assert place.status(agent) == 404


@pytest.mark.sqlite_suffices
def test_a_name_that_no_event_may_have_gives_no_token(place: Place) -> None:
    """No server would seal the event of the token, so raw SQL could delete the event at any time."""
    events = len(place.its.events())
    place.execute(f"UPDATE roles SET name = '{'x' * 5000}'")
    assert place.status(place.client_id) == 503
    assert len(place.its.events()) == events


@pytest.mark.sqlite_suffices
def test_no_event_has_such_an_id(place: Place) -> None:
    assert place.status(place.client_id) == 200
    row = row_of(place.its.events()[-1].event) | {"occurrences": 1, "count_key": None}
    assert is_event(row)
    for id_ in FORMS.values():
        named = [{"id": id_, "name": "N"}]
        planted = [{"client_id": id_}, {"kid": id_}, {"delegations": named}, {"roles": named}]
        planted += [{"subject_id": id_, "subject_name": "S"}, {"detail": {"proof_id": id_}}]
        assert not any(is_event(row | each) for each in planted)
