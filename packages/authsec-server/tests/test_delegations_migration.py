"""What was delegated before the schema knew of revisions and of lists by audience is found by them afterwards."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from authsec_server.apis import service as apis
from authsec_server.db import open_database
from authsec_server.delegations.callers import who_may_call
from authsec_server.delegations.model import Terms
from authsec_server.principal import Act
from sqlalchemy import create_engine, text

OLD = (
    "INSERT INTO roles (id, slug, name, description, created_at) VALUES ('r', 'support', 'Support', '', :at)",
    "INSERT INTO role_actions (role_id, action) VALUES ('r', 'customers:read')",
    "INSERT INTO clients (id, slug, name, kind, platform, owner, description, labels, enabled, created_at)"
    " VALUES ('c', 'helper', 'Helper', 'ai_agent', 'unattested', '', '', '{}', true, :at)",
    *(
        "INSERT INTO delegations (id, role_id, client_id, target_type, actions, max_duration, audiences,"
        f" excluded_proofs, enabled, owner, description, created_at) VALUES ('{id_}', 'r', 'c', 'AutoGen AI agent',"
        f" '[\"customers:read\"]', 3600, '{audiences}', '[]', true, '', '', :at)"
        for id_, audiences in (("d1", '["payments", "customers-api"]'), ("d2", "[]"))
    ),
)


def at_version_3(url: str, act: Act) -> None:
    """A database as the version before left it, with two delegations in it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "authsec_server:db/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for statement in OLD:
            connection.execute(text(statement), {"at": "2026-11-25 12:00:00.000000"})
    engine.dispose()


def test_they_are_found_by_audience_and_count_from_one(empty_database_url: str, act: Act) -> None:
    at_version_3(empty_database_url, act)
    database = open_database(empty_database_url)
    database.migrate()
    terms = Terms(max_token_lifetime=86_400, default_audience="shared")
    for identifier, expected in (("payments", "d1"), ("customers-api", "d1"), ("shared", "d2")):
        api = database.change(lambda tx, it=identifier: apis.create(tx, act, name=it, identifier=it))
        (caller,) = database.read(lambda tx, api=api: who_may_call(tx, act, api, terms))
        assert (caller.delegation.id, caller.delegation.revision, caller.role.revision) == (expected, 1, 1)
    database.close()
