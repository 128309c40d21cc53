"""Clients that were onboarded before lists could sort and filter them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from alembic import command
from alembic.config import Config
from authsec_server.clients import lists
from authsec_server.clients.filters import Attention, Filters
from authsec_server.clients.store import client_labels, clients, proofs
from authsec_server.db import open_database
from authsec_server.principal import Act
from sqlalchemy import Engine, create_engine, insert, select

ID = "6f1d2a34-0000-4000-8000-00000000000"


def upgrade_to(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "authsec_server:db/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_they_are_sorted_and_filtered_like_all_others(empty_database_url: str, act: Act) -> None:
    engine = create_engine(empty_database_url)
    upgrade_to(engine, "0002")
    client = {"kind": "ai_agent", "platform": "key", "description": "", "enabled": True, "created_at": act.now}
    proof = {"selectors": [], "created_at": act.now}
    with engine.begin() as connection:
        for number, name in enumerate(("Zeta", "Ökonomie", "alpha", "Émile")):
            named = {"id": f"{ID}{number}", "slug": f"s{number}", "name": name, "owner": "Ada", "labels": {"n": name}}
            connection.execute(insert(clients).values(**client, **named))
        for number, (kind, hours) in enumerate(
            [("key_pair", None), ("key_pair", 1), ("key_pair", -1), ("unattested", None)]
        ):
            end = None if hours is None else act.now + timedelta(hours=hours)
            held = {"id": f"{ID}{number}", "client_id": f"{ID}{number}", "kind": kind, "expires_at": end}
            connection.execute(insert(proofs).values(**proof, **held))
        connection.execute(insert(proofs).values(**proof, id=f"{ID}9", client_id=f"{ID}1", kind="key_pair"))
    engine.dispose()

    database = open_database(empty_database_url)
    database.migrate()

    def found(**what: Any) -> list[str]:
        page, _ = database.read(lambda tx: lists.page_of(tx, act, Filters(**what)))
        return [each.name for each in page]

    assert found() == ["alpha", "Zeta", "Émile", "Ökonomie"]
    assert found(text="ÖKO") == ["Ökonomie"]
    assert found(owner="ada", label="n=Zeta") == ["Zeta"]
    assert found(attention=Attention.UNATTESTED) == ["Émile"]
    assert found(attention=Attention.CANNOT_PROVE) == ["alpha"]
    columns = [clients.c.name, clients.c.provable_until, clients.c.revision]
    rows = database.read(lambda tx: tx.connection.execute(select(*columns).order_by(clients.c.slug)).all())
    for name, until, revision in rows:
        (loaded,) = (each for each in database.read(lambda tx: lists.page_of(tx, act))[0] if each.name == name)
        assert (until, revision) == (loaded.provable_until, 1)
    assert database.read(lambda tx: len(tx.connection.execute(select(client_labels)).all())) == 4
    database.close()
