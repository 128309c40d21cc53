"""One of each thing that a filled database holds, for the addresses of the pages that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsec_server.accounts.store import administrators
from authsec_server.apis.store import apis
from authsec_server.audit.model import Decision, EventKind
from authsec_server.audit.store import client_counts, events
from authsec_server.clients import service
from authsec_server.clients.model import Client
from authsec_server.clients.search import ClientSort, position, write_cursor
from authsec_server.clients.store import clients
from authsec_server.db import Tx
from authsec_server.delegations.store import delegation_audiences, delegations
from authsec_server.roles import service as roles
from sqlalchemy import ColumnElement, Select, func, select


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A client, and where its pages are."""

    client: Client
    proof: str

    @property
    def path(self) -> str:
        """Its page."""
        return f"/console/clients/{self.client.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The client with the most tokens, one with few, and of all else one that much hangs on.

    `cursors` begin pages in the middle of the list of clients, one for each order; `later` is a delegation, `back` the
    number of an event in the middle of theirs.
    """

    busy: Agent
    quiet: Agent
    many: tuple[str, ...]
    cursors: dict[ClientSort, str]
    delegation: str
    later: str
    role: str
    role_actions: tuple[str, ...]
    api: str
    audience: str
    token: int
    refusal: int
    act: int
    back: int
    jti: str
    request_id: str
    administrator: str


def find_examples(tx: Tx) -> Examples:
    """Look for them."""
    busiest = _by_tokens(tx, func.sum(client_counts.c.occurrences).desc())
    quietest = _by_tokens(tx, func.sum(client_counts.c.occurrences).asc())
    of_busiest = select(delegations.c.id).where(delegations.c.client_id == busiest, delegations.c.revoked_at.is_(None))
    role_id = _most(tx, delegations.c.role_id)
    audience = _most(tx, delegation_audiences.c.audience, delegation_audiences.c.audience != "")
    role = roles.by_ids(tx, [role_id])[role_id]
    latest = {
        name: select(events).where(condition).order_by(events.c.id.desc()).limit(1)
        for name, condition in {
            "token": events.c.kind == EventKind.TOKEN_ISSUED,
            "refusal": events.c.decision == Decision.DENIED,
            "act": events.c.principal_kind == "administrator",
        }.items()
    }
    token = tx.connection.execute(latest["token"]).one()
    return Examples(
        busy=_agent(tx, busiest),
        quiet=_agent(tx, quietest),
        many=tuple(tx.connection.execute(select(clients.c.id).order_by(clients.c.sort_name).limit(50)).scalars()),
        cursors={sort: _middle(tx, sort) for sort in ClientSort},
        delegation=_first(tx, of_busiest.limit(1)),
        later=_first(tx, _halfway(tx, select(delegations.c.id).order_by(delegations.c.created_at.desc()))),
        role=role.slug,
        role_actions=role.actions,
        api=_first(tx, select(apis.c.slug).where(apis.c.identifier == audience)),
        audience=audience,
        token=token.id,
        refusal=tx.connection.execute(latest["refusal"]).one().id,
        act=tx.connection.execute(latest["act"]).one().id,
        back=token.id // 2,
        jti=token.jti,
        request_id=token.request_id,
        administrator=_first(tx, select(administrators.c.id).order_by(administrators.c.email).limit(1)),
    )


def _by_tokens(tx: Tx, order: ColumnElement[int]) -> str:
    return _first(tx, select(client_counts.c.client_id).group_by(client_counts.c.client_id).order_by(order).limit(1))


def _most(tx: Tx, column: ColumnElement[str], *conditions: ColumnElement[bool]) -> str:
    """What is named most often in this column."""
    return _first(tx, select(column).where(*conditions).group_by(column).order_by(func.count().desc()).limit(1))


def _agent(tx: Tx, client_id: str) -> Agent:
    client = service.by_ids(tx, [client_id])[client_id]
    return Agent(client=client, proof=client.proofs[0].id)


def _middle(tx: Tx, sort: ClientSort) -> str:
    by: dict[ClientSort, ColumnElement[Any]] = {
        ClientSort.NAME: clients.c.sort_name,
        ClientSort.CREATED: clients.c.created_at,
        ClientSort.OWNER: clients.c.sort_owner,
    }
    client_id = _first(tx, _halfway(tx, select(clients.c.id).order_by(by[sort], clients.c.id)))
    return write_cursor(sort, position(service.by_ids(tx, [client_id])[client_id], sort))


def _halfway(tx: Tx, rows: Select[Any]) -> Select[Any]:
    number: int = tx.connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one()
    return rows.offset(number // 2).limit(1)


def _first(tx: Tx, rows: Select[Any]) -> str:
    found: str = tx.connection.execute(rows).scalar_one()
    return found
