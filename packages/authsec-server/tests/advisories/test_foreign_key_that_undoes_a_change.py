"""On PostgreSQL, raw SQL lets the database itself write to rows that an honest change has written.

A foreign key with ON DELETE SET DEFAULT, or a generated column, changes the row in the statement of the change. So the
digest of the change has the other value, and raw SQL removes the key or the column before `audit verify`. It needs no
function, no trigger and no superuser.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.failures import Unavailable
from authsec_server.principal import Role
from sealed_estate import sealed_estate

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
EMAIL = "ann@example.com"
OF_LABELS = (
    "ALTER TABLE client_labels ADD COLUMN k1 varchar(63), ADD COLUMN k2 text",
    "UPDATE client_labels SET k1 = 'helper', k2 = '1'",
    "CREATE UNIQUE INDEX planted_key ON client_labels (k1, k2)",
    "ALTER TABLE clients ADD COLUMN z text, ALTER slug SET DEFAULT 'another'",
)
OF_HELPER = "UPDATE clients SET z = '1' WHERE slug = 'helper'"
KEY = "ALTER TABLE clients ADD CONSTRAINT planted FOREIGN KEY (slug, z) REFERENCES client_labels (k1, k2)"
OF_ITSELF = (
    "ALTER TABLE administrators ADD COLUMN z text, ADD COLUMN y varchar(10), ADD COLUMN z2 text,"
    " ADD COLUMN revision2 integer, ALTER role SET DEFAULT 'admin'",
    f"UPDATE administrators SET z = '1', y = 'viewer', z2 = '1', revision2 = revision WHERE email = '{EMAIL}'",
    "CREATE UNIQUE INDEX planted_key ON administrators (z, revision, y)",
    "ALTER TABLE administrators ADD CONSTRAINT planted FOREIGN KEY (z2, revision2, role)"
    " REFERENCES administrators (z, revision, y) ON UPDATE SET DEFAULT NOT VALID",
)


@pytest.fixture(autouse=True)
def _sealed(estate: Any) -> None:
    sealed_estate(estate)


def execute(database: Database, *statements: str) -> None:
    database.append(lambda tx: [tx.connection.exec_driver_sql(each) for each in statements] and None)


def edit_labels(estate: Any, value: str) -> None:
    client = estate.see(lambda tx, act: clients.get(tx, act, "helper"))
    changes = {"labels": {"team": value}}
    estate.do(lambda tx, act: clients.edit(tx, act, "helper", revision=client.revision, changes=changes))


@POSTGRESQL
def test_an_agent_keeps_its_name_when_its_labels_are_edited(estate: Any) -> None:
    edit_labels(estate, "a")
    execute(estate.database, *OF_LABELS, OF_HELPER, f"{KEY} ON DELETE SET DEFAULT")
    with pytest.raises(Unavailable, match="constraint planted of clients"):
        edit_labels(estate, "b")
    assert estate.see(lambda tx, act: clients.get(tx, act, "helper")).labels == {"team": "a"}


@POSTGRESQL
@pytest.mark.parametrize("action", ["SET DEFAULT", "SET NULL", "CASCADE"])
@pytest.mark.parametrize("when", ["UPDATE", "DELETE"])
def test_a_key_that_may_write_to_our_rows_is_refused(estate: Any, when: str, action: str) -> None:
    """Even if no row has a value that it refers to."""
    edit_labels(estate, "a")
    execute(estate.database, *OF_LABELS, f"{KEY} ON {when} {action}")
    with pytest.raises(Unavailable, match="constraint planted of clients"):
        edit_labels(estate, "b")
    assert estate.see(lambda tx, act: clients.get(tx, act, "helper")).labels == {"team": "a"}


@POSTGRESQL
def test_a_key_that_writes_nothing_is_allowed(estate: Any) -> None:
    """The next version of AuthSec may add such a key, while servers of this version run."""
    edit_labels(estate, "a")
    execute(
        estate.database, "ALTER TABLE clients ADD COLUMN team text REFERENCES administrators (id) ON DELETE RESTRICT"
    )
    edit_labels(estate, "b")
    assert estate.see(lambda tx, act: clients.get(tx, act, "helper")).labels == {"team": "b"}


@POSTGRESQL
def test_a_key_of_ours_that_leads_elsewhere_is_refused(estate: Any) -> None:
    """It has the name, the table and the action of a key of ours, and another column."""
    edit_labels(estate, "a")
    execute(
        estate.database,
        "ALTER TABLE client_labels DROP CONSTRAINT fk_client_labels_client_id",
        "CREATE UNIQUE INDEX planted_key ON clients (slug)",
        "ALTER TABLE client_labels ADD COLUMN planted varchar(63), ADD CONSTRAINT fk_client_labels_client_id"
        " FOREIGN KEY (planted) REFERENCES clients (slug) ON DELETE CASCADE",
    )
    with pytest.raises(Unavailable, match="constraint fk_client_labels_client_id of client_labels"):
        edit_labels(estate, "b")


@POSTGRESQL
def test_a_lowered_administrator_does_not_stay_admin(estate: Any) -> None:
    def to(role: Role) -> None:
        found = estate.see(lambda tx, act: administrators.get(tx, act, EMAIL))
        estate.do(lambda tx, act: administrators.change_role(tx, act, EMAIL, role, revision=found.revision))

    to(Role.ADMIN)
    execute(estate.database, *OF_ITSELF)
    with pytest.raises(Unavailable, match="constraint planted of administrators"):
        to(Role.VIEWER)


@POSTGRESQL
def test_a_generated_column_is_refused(estate: Any) -> None:
    """Its expression calls no function: it compares two numbers."""
    execute(
        estate.database,
        "ALTER TABLE clients ADD COLUMN planted text"
        " GENERATED ALWAYS AS (CASE WHEN revision = 7 THEN slug ELSE owner END) STORED",
    )
    with pytest.raises(Unavailable, match="column planted of clients"):
        edit_labels(estate, "b")
