"""The badges of a client: its state in one word, then warnings about its proofs. Every page shows the same badges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from authsec_server.clients.model import Attention, Client
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.model import ResolvedDelegation

WARNINGS = {Attention.UNATTESTED: "Unattested", Attention.SECRET: "Client secret", Attention.ENROLLED: "Laptop"}
_TITLES = {
    ClientState.DISABLED: "The client gets no token until somebody enables it.",
    ClientState.UNPROVED: "No proof of the client can be verified, so the client gets no token.",
    ClientState.UNDELEGATED: "No live trust delegation gives the client an action, so the client gets no token.",
    ClientState.READY: "The client can get tokens.",
    Attention.UNATTESTED: "Anybody who knows the Client ID can authenticate as the client.",
    Attention.SECRET: "Anybody who has read the client's secret can act as the client until the secret is rotated.",
    Attention.ENROLLED: "An enrolled laptop has a temporary key for this client.",
}

ALL_ANSWER: Mapping[str, str] = MappingProxyType({})
"""No trusted issuer is unavailable."""


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


def client_status(client: Client, state: ClientState, now: datetime, silent: Mapping[str, str]) -> ClientStatus:
    """Return the badges of a client in this state.

    `silent` has a sentence about each unavailable trusted issuer, by its id. A client that depends on these issuers
    can't authenticate now.
    """
    title = _TITLES[state]
    waiting = [silent.get(proof.trusted_issuer_id or "", "") for proof in client.usable_proofs(now)]
    if state is not ClientState.DISABLED and waiting and all(waiting):
        state, title = ClientState.UNPROVED, waiting[0]
    warnings = (Badge(word=WARNINGS[each], title=_TITLES[each]) for each in _warnings(client, now))
    return ClientStatus(state=state, badges=(Badge(word=state.shown, title=title), *warnings))


def statuses_of(
    tx: Tx,
    found: Collection[Client],
    now: datetime,
    silent: Mapping[str, str] = ALL_ANSWER,
    known: Iterable[ResolvedDelegation] = (),
) -> dict[str, ClientStatus]:
    """Return the badges of each of these clients, by the client's id. See `client_status` and `states_of`."""
    states = delegations.states_of(tx, found, now, known)
    return {client.id: client_status(client, states[client.id], now, silent) for client in found}


def status_of(tx: Tx, client: Client, now: datetime, silent: Mapping[str, str] = ALL_ANSWER) -> ClientStatus:
    """Return the badges of one client. See `client_status`."""
    return statuses_of(tx, [client], now, silent)[client.id]


def _warnings(client: Client, now: datetime) -> Iterator[Attention]:
    if client.unattested(now):
        yield Attention.UNATTESTED
    if client.holds_secret(now):
        yield Attention.SECRET
    if client.enrolled(now):
        yield Attention.ENROLLED
