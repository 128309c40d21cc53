"""What becomes of clients when the trust source that their proofs rest on is changed: the verbs.

Whoever edits a source, turns it off or on, or removes it goes this way: what lists say of its clients has to follow in
the same change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import resting
from authsec_server.clients.bindings import MOST_AT_ONCE
from authsec_server.clients.holding import record, with_proofs
from authsec_server.clients.model import Client, Proof
from authsec_server.clients.proofs import platform_of
from authsec_server.clients.vouching import proves
from authsec_server.db import Tx
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role
from authsec_server.sources import service as sources
from authsec_server.sources.model import Changes, TrustSource, provable

MOST_STRANDED = 20  # listed by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who rests on a source. `stranded` are clients that nothing else lets in; with `more` there are further ones."""

    proofs: int
    clients: int
    stranded: tuple[Named, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What went: so many proofs; and, unless some are `left`, the source."""

    source: TrustSource
    proofs: int
    left: int


def users_of(tx: Tx, act: Act, source: TrustSource) -> Users:
    """Who rests on the source, and whom to disable or remove it would keep out."""
    act.principal.require(Role.VIEWER)
    proofs, holders = resting.counts(tx.connection, source.id)
    stranded = resting.stranded(tx.connection, source.id, act.now, MOST_STRANDED + 1)
    return Users(
        proofs=proofs,
        clients=holders,
        stranded=tuple(stranded[:MOST_STRANDED]),
        more=len(stranded) > MOST_STRANDED,
    )


def holders(tx: Tx, source: TrustSource, limit: int) -> list[str]:
    """The ids of the clients whose proofs rest on the source; at most so many. For the rooms above."""
    return resting.holders(tx.connection, source.id, limit)


def edit_source(
    tx: Tx,
    act: Act,
    id_or_slug: str,
    *,
    revision: int,
    changes: Changes,
    trust_domain: str = "",
    may_look_up: bool = False,
) -> TrustSource:
    """Change the source, as `sources.edit` does; the proofs that it can prove no longer count no more, others again.

    `trust_domain` is that of the clients' SPIFFE IDs, as for `service.create`.
    """
    before = sources.get(tx, act, id_or_slug)
    source = sources.edit(tx, act, id_or_slug, revision=revision, changes=changes, may_look_up=may_look_up)
    if (before.issuer, provable(before)) != (source.issuer, provable(source)):
        _follow(tx, source, trust_domain)
    return source


def disable_source(tx: Tx, act: Act, id_or_slug: str) -> TrustSource:
    """Let the source's word count no more, nor the proofs that rest on it, and end the tokens that do."""
    source = sources.disable(tx, act, id_or_slug)
    resting.follow(tx.connection, source)
    return source


def enable_source(tx: Tx, act: Act, id_or_slug: str, *, trust_domain: str = "") -> TrustSource:
    """Let the source's word count again, and with it the proofs that rest on it. Tokens that ended stay ended."""
    source = sources.enable(tx, act, id_or_slug)
    _follow(tx, source, trust_domain)
    return source


def remove_source(tx: Tx, act: Act, id_or_slug: str, *, with_proofs: bool = False) -> Removed:
    """Remove the source and end the tokens that rest on it; `with_proofs`, also the proofs that do.

    Without, and while proofs name it, raises `Conflict`: a client may lose its last way in, so somebody has to want it.
    Of more than `MOST_AT_ONCE` proofs so many go in one change: the source is disabled then, and stays until it is
    removed again, with no proof `left`.
    """
    act.principal.require(Role.ADMIN)
    source = sources.get(tx, act, id_or_slug)
    users = users_of(tx, act, source)
    if users.proofs and not with_proofs:
        raise _still_named(source, users)
    going = resting.of_source(tx.connection, source.id, MOST_AT_ONCE)
    if users.proofs > len(going):
        source = disable_source(tx, act, source.id)
    _take_away(tx, act, going)
    if users.proofs == len(going):
        sources.remove(tx, act, source, proofs=tuple(Named(id=proof.id, name=client.name) for client, proof in going))
    return Removed(source=source, proofs=len(going), left=users.proofs - len(going))


def _follow(tx: Tx, source: TrustSource, trust_domain: str) -> None:
    """Its word counts for what it can prove, if it is enabled."""
    held = resting.of_source(tx.connection, source.id)
    unable = [proof.id for _, proof in held if not proves(platform_of(proof), proof.selectors, source, trust_domain)]
    resting.follow(tx.connection, source, unable=unable)


def _take_away(tx: Tx, act: Act, held: Sequence[tuple[Named, Proof]]) -> None:
    """Their tokens end with the source's: each of them rests on its word."""
    gone = {proof.id for _, proof in held}
    holders = list(dict.fromkeys(client.id for client, _ in held))
    left = [_without(client, gone, act) for client in resting.load(tx.connection, holders)]
    resting.remove(tx.connection, [*gone])
    resting.revise(tx.connection, holders, at=act.now, by=act.principal.name)
    resting.show_as(tx.connection, left)
    for client, proof in held:
        record(tx, act, EventKind.PROOF_REMOVED, client, proof)


def _without(client: Client, gone: Collection[str], act: Act) -> Client:
    return with_proofs(client, act, tuple(each for each in client.proofs if each.id not in gone))


def _still_named(source: TrustSource, users: Users) -> Conflict:
    names = ", ".join(client.name for client in users.stranded[:5])
    more = " and others" if users.more or len(users.stranded) > 5 else ""
    kept_out = f" Nothing else lets in {names}{more}." if names else ""
    rest = f"{_number(users.proofs, 'proof')} of {_number(users.clients, 'client')} rest{'s' * (users.proofs == 1)}"
    return Conflict(
        f"{rest} on the trust source {source.name!r}.{kept_out}",
        f"Remove the proofs with it: authsec trust remove {source.slug} --with-proofs",
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
