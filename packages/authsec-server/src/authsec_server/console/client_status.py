"""The badges of a client: its state in one word, then warnings about its proofs. Every page shows the same badges."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from authsec_server.clients.model import Attention, Client
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.client_state import ClientState

WARNINGS = {Attention.UNATTESTED: "Unattested", Attention.SECRET: "Secret", Attention.ENROLLED: "Laptop"}
_TITLES = {
    ClientState.DISABLED: "The client gets no token until somebody enables it.",
    ClientState.UNPROVED: "No proof of the client can be verified, so the client gets no token.",
    ClientState.UNDELEGATED: "No live trust delegation gives the client an action, so the client gets no token.",
    ClientState.READY: "The client can get tokens.",
    Attention.UNATTESTED: "Anybody who knows the Client ID can get the client's tokens.",
    Attention.SECRET: "Anybody who has read the client's secret can act as the client until the secret is rotated.",
    Attention.ENROLLED: "An enrolled laptop has a temporary key for this client.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """One word in a colour. `title` is the explanation that a pointer shows."""

    word: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """The state of a client, and its badges: the state first, then the warnings."""

    state: ClientState
    badges: tuple[Badge, ...]

    @property
    def is_ready(self) -> bool:
        """Whether the client can get tokens."""
        return self.state is ClientState.READY


def client_status(client: Client, state: ClientState, now: datetime) -> ClientStatus:
    """Return the badges of a client in this state."""
    warnings = (Badge(word=WARNINGS[each], title=_TITLES[each]) for each in _warnings(client, now))
    return ClientStatus(state=state, badges=(Badge(word=state.shown, title=_TITLES[state]), *warnings))


def statuses_of(tx: Tx, found: Collection[Client], now: datetime) -> dict[str, ClientStatus]:
    """Return the badges of each of these clients, by the client's id."""
    states = delegations.states_of(tx, found, now)
    return {client.id: client_status(client, states[client.id], now) for client in found}


def status_of(tx: Tx, client: Client, now: datetime) -> ClientStatus:
    """Return the badges of one client."""
    return statuses_of(tx, [client], now)[client.id]


def _warnings(client: Client, now: datetime) -> Iterator[Attention]:
    if client.unattested(now):
        yield Attention.UNATTESTED
    if client.holds_secret(now):
        yield Attention.SECRET
    if client.enrolled(now):
        yield Attention.ENROLLED
