"""Bind proofs to trusted issuers, and update or remove the proofs when a trusted issuer changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from authsec_server import naming
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import binding_store
from authsec_server.clients.binding_matching import fits, proves, require_suitable
from authsec_server.clients.held_proofs import record, with_proofs
from authsec_server.clients.model import Client, Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer, provable
from authsec_server.principal import Act, Role

MOST_AT_ONCE = 500  # each proof has its own audit event, written under the authority lock

_Mark = tuple[str, frozenset[Selector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundProof:
    """A proof together with the client that has the proof."""

    client: Named
    proof: Proof


def waiting(tx: Tx, act: Act, trusted_issuer: TrustedIssuer, *, trust_domain: str = "") -> list[BoundProof]:
    """List the proofs that have no trusted issuer, and that `trusted_issuer` could prove.

    The list is in order of client names. `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """
    act.principal.require(Role.VIEWER)
    return [
        BoundProof(client=client, proof=proof)
        for client, proof in binding_store.without_trusted_issuer(tx.connection)
        if proves(platform_of(proof), proof.selectors, trusted_issuer, trust_domain)
    ]


def partly_proved(tx: Tx, act: Act, trusted_issuer: TrustedIssuer, *, trust_domain: str = "") -> list[BoundProof]:
    """List the proofs without a trusted issuer. `trusted_issuer` could prove only some of their selectors.

    The list is in order of client names. `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """
    act.principal.require(Role.VIEWER)
    return [
        BoundProof(client=client, proof=proof)
        for client, proof in binding_store.without_trusted_issuer(tx.connection)
        if fits(platform := platform_of(proof), proof.selectors, trusted_issuer, trust_domain)
        and not proves(platform, proof.selectors, trusted_issuer, trust_domain)
    ]


def bound_to(tx: Tx, act: Act, trusted_issuer: TrustedIssuer, *, limit: int) -> list[BoundProof]:
    """List at most `limit` proofs of the trusted issuer, in order of client names."""
    act.principal.require(Role.VIEWER)
    return [
        BoundProof(client=client, proof=proof)
        for client, proof in binding_store.of_trusted_issuer(tx.connection, trusted_issuer.id, limit)
    ]


def bind(
    tx: Tx, act: Act, id_or_slug: str, proof_ids: Collection[str] | None = None, *, trust_domain: str = ""
) -> list[BoundProof]:
    """Bind proofs to the trusted issuer. Return the proofs that were bound.

    Without `proof_ids`, the call binds the first proofs of `waiting`, at most `MOST_AT_ONCE`. Repeat the call
    until no more proofs are bound. A proof that already has this issuer does not change.

    Raises `NotFound`. Raises `Invalid` if the issuer cannot prove a selector. Raises `Conflict` in two cases:
    the proof has another issuer, or the client has an equal proof of this issuer.
    """
    act.principal.require(Role.OPERATOR)
    if proof_ids is not None and len(proof_ids) > MOST_AT_ONCE:
        raise Invalid("proofs", f"There are more than {MOST_AT_ONCE} proofs.", "Bind some of these proofs first.")
    trusted_issuer = issuers.get(tx, act, id_or_slug)
    held = {_mark(client, proof) for client, proof in binding_store.of_trusted_issuer(tx.connection, trusted_issuer.id)}
    if proof_ids is None:
        all_waiting = waiting(tx, act, trusted_issuer, trust_domain=trust_domain)
        asked = [each for each in all_waiting if _mark(each.client, each.proof) not in held][:MOST_AT_ONCE]
    else:
        asked = _asked(tx, trusted_issuer, dict.fromkeys(proof_ids), held, trust_domain)
    bound = [replace(each, proof=_bound_to(each.proof, trusted_issuer)) for each in asked]
    binding_store.set_trusted_issuer(tx.connection, [each.proof.id for each in bound], trusted_issuer)
    holders = list(dict.fromkeys(each.client.id for each in bound))
    binding_store.revise(tx.connection, holders, at=act.now, by=act.principal.name)
    for each in bound:
        record(tx, act, EventKind.PROOF_BOUND, each.client, each.proof)
    return bound


def _asked(
    tx: Tx, trusted_issuer: TrustedIssuer, proof_ids: Collection[str], held: set[_Mark], trust_domain: str
) -> list[BoundProof]:
    known = binding_store.by_ids(tx.connection, [each for each in proof_ids if naming.is_uuid(each)])
    found = {proof.id: BoundProof(client=client, proof=proof) for client, proof in known}
    asked = []
    for proof_id in proof_ids:
        each = found.get(proof_id)
        if each is None:
            raise NotFound(
                f"There is no proof {naming.quoted(proof_id)}.",
                "To list the proofs of an agent: authsec agents proofs list AGENT",
            )
        if each.proof.trusted_issuer_id != trusted_issuer.id:
            _require_bindable(tx, each, trusted_issuer, held, trust_domain)
            asked.append(each)
    return asked


def _require_bindable(
    tx: Tx, asked: BoundProof, trusted_issuer: TrustedIssuer, held: set[_Mark], trust_domain: str
) -> None:
    proof, name = asked.proof, asked.client.name
    if proof.kind is not ProofKind.SELECTORS:
        raise Invalid("proofs", f"The {proof.kind} proof of {name} needs no trusted issuer.", "Leave it out.")
    if proof.trusted_issuer_id is not None:
        other = issuers.by_ids(tx, [proof.trusted_issuer_id])[proof.trusted_issuer_id]
        raise Conflict(
            f"This proof of {name} is bound to the trusted issuer {other.name!r} ({other.slug}).",
            f"Add another proof to {name}, and remove this proof.",
        )
    try:
        require_suitable(platform_of(proof), proof.selectors, trusted_issuer, trust_domain)
    except Invalid as problem:
        raise Invalid("proofs", f"A proof of {name}: {problem.message}", problem.remedy) from None
    if _mark(asked.client, proof) in held:
        raise Conflict(
            f"{name} already has a proof with these selectors and this trusted issuer.", "Remove one of the two proofs."
        )


def _mark(client: Named, proof: Proof) -> _Mark:
    """Return the client's id and the selectors, to find equal proofs.

    A client may have only one proof with the same selectors and the same trusted issuer.
    """
    return client.id, frozenset(proof.selectors)


def _bound_to(proof: Proof, trusted_issuer: TrustedIssuer) -> Proof:
    return replace(proof, trusted_issuer_id=trusted_issuer.id, trusted_issuer_enabled=trusted_issuer.enabled)


MOST_STRANDED = 20  # listed by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """The number of proofs and clients that use a trusted issuer.

    `stranded` lists clients that can authenticate only by this issuer. If `more` is true, the list is incomplete.
    """

    proofs: int
    clients: int
    stranded: tuple[Named, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Result of a removal. `proofs` is the number of removed proofs.

    `left` is the number of proofs that remain. If `left` is 0, the trusted issuer was removed, too.
    """

    trusted_issuer: TrustedIssuer
    proofs: int
    left: int


def users_of(tx: Tx, act: Act, trusted_issuer: TrustedIssuer) -> Users:
    """Count the proofs and clients of the trusted issuer, and list clients that cannot authenticate without it."""
    act.principal.require(Role.VIEWER)
    proofs, holders = binding_store.counts(tx.connection, trusted_issuer.id)
    stranded = binding_store.stranded(tx.connection, trusted_issuer.id, act.now, MOST_STRANDED + 1)
    return Users(
        proofs=proofs,
        clients=holders,
        stranded=tuple(stranded[:MOST_STRANDED]),
        more=len(stranded) > MOST_STRANDED,
    )


def holders(tx: Tx, trusted_issuer: TrustedIssuer, limit: int) -> list[str]:
    """Return the ids of at most `limit` clients with proofs of the trusted issuer.

    Packages that import this package use the function.
    """
    return binding_store.holders(tx.connection, trusted_issuer.id, limit)


def edit_trusted_issuer(
    tx: Tx,
    act: Act,
    id_or_slug: str,
    *,
    revision: int,
    changes: Mapping[str, object],
    trust_domain: str = "",
    may_look_up: bool = False,
) -> TrustedIssuer:
    """Edit the trusted issuer, and update which of its proofs are valid.

    Proofs that the issuer cannot prove after the edit become invalid. Proofs that it can prove again become
    valid. `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """
    before = issuers.get(tx, act, id_or_slug)
    trusted_issuer = issuers.edit(tx, act, id_or_slug, revision=revision, changes=changes, may_look_up=may_look_up)
    if (before.issuer, provable(before)) != (trusted_issuer.issuer, provable(trusted_issuer)):
        _update_proofs(tx, trusted_issuer, trust_domain)
    return trusted_issuer


def disable_trusted_issuer(tx: Tx, act: Act, id_or_slug: str) -> TrustedIssuer:
    """Disable the trusted issuer and its proofs, and revoke the tokens that were issued on these proofs."""
    trusted_issuer = issuers.disable(tx, act, id_or_slug)
    binding_store.update_issuer_state(tx.connection, trusted_issuer)
    return trusted_issuer


def enable_trusted_issuer(tx: Tx, act: Act, id_or_slug: str, *, trust_domain: str = "") -> TrustedIssuer:
    """Enable the trusted issuer and its proofs. Revoked tokens stay revoked."""
    trusted_issuer = issuers.enable(tx, act, id_or_slug)
    _update_proofs(tx, trusted_issuer, trust_domain)
    return trusted_issuer


def remove_trusted_issuer(tx: Tx, act: Act, id_or_slug: str, *, with_proofs: bool = False) -> Removed:
    """Remove the trusted issuer and revoke its tokens. `with_proofs` also removes its proofs.

    Without `with_proofs`, raises `Conflict` if the issuer has proofs, because a client might lose its only proof. One
    call removes at most `MOST_AT_ONCE` proofs. If more proofs are left, the call only disables the issuer.
    Repeat the call to remove the issuer.
    """
    act.principal.require(Role.ADMIN)
    trusted_issuer = issuers.get(tx, act, id_or_slug)
    users = users_of(tx, act, trusted_issuer)
    if users.proofs and not with_proofs:
        raise _still_named(trusted_issuer, users)
    going = binding_store.of_trusted_issuer(tx.connection, trusted_issuer.id, MOST_AT_ONCE)
    if users.proofs > len(going):
        trusted_issuer = disable_trusted_issuer(tx, act, trusted_issuer.id)
    _remove_proofs(tx, act, going)
    if users.proofs == len(going):
        issuers.remove(
            tx, act, trusted_issuer, proofs=tuple(Named(id=proof.id, name=client.name) for client, proof in going)
        )
    return Removed(trusted_issuer=trusted_issuer, proofs=len(going), left=users.proofs - len(going))


def _update_proofs(tx: Tx, trusted_issuer: TrustedIssuer, trust_domain: str) -> None:
    """Update the trusted issuer's proofs: a proof is valid if the issuer is enabled and can prove the selectors."""
    held = binding_store.of_trusted_issuer(tx.connection, trusted_issuer.id)
    unable = [
        proof.id for _, proof in held if not proves(platform_of(proof), proof.selectors, trusted_issuer, trust_domain)
    ]
    binding_store.update_issuer_state(tx.connection, trusted_issuer, unable=unable)


def _remove_proofs(tx: Tx, act: Act, held: Sequence[tuple[Named, Proof]]) -> None:
    """Remove these proofs of a trusted issuer. The caller revokes the tokens of the issuer."""
    gone = {proof.id for _, proof in held}
    holders = list(dict.fromkeys(client.id for client, _ in held))
    left = [_without(client, gone, act) for client in binding_store.load(tx.connection, holders)]
    binding_store.remove(tx.connection, [*gone])
    binding_store.revise(tx.connection, holders, at=act.now, by=act.principal.name)
    binding_store.show_as(tx.connection, left)
    for client, proof in held:
        record(tx, act, EventKind.PROOF_REMOVED, client, proof)


def _without(client: Client, gone: Collection[str], act: Act) -> Client:
    return with_proofs(client, act, tuple(each for each in client.proofs if each.id not in gone))


def _still_named(trusted_issuer: TrustedIssuer, users: Users) -> Conflict:
    names = ", ".join(client.name for client in users.stranded[:5])
    more = " and others" if users.more or len(users.stranded) > 5 else ""
    kept_out = f" Clients without another proof: {names}{more}." if names else ""
    rest = f"{_number(users.proofs, 'proof')} of {_number(users.clients, 'client')} depend{'s' * (users.proofs == 1)}"
    return Conflict(
        f"{rest} on the trusted issuer {trusted_issuer.name!r}.{kept_out}",
        f"To remove the proofs as well: authsec issuers remove {trusted_issuer.slug} --with-proofs",
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
