"""Admin API operations: list and bind the proofs of a trusted issuer, or remove the issuer with its proofs."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.clients import bindings
from authsec_server.clients.bindings import BoundProof, Users
from authsec_server.clients.views import SelectorShown, selector_json
from authsec_server.db import Tx
from authsec_server.issuers import service as issuers
from authsec_server.issuers.api import ONE, TrustedIssuerShown, as_json
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import Body
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import read_yes_or_no, yes_or_no

WITH_PROOFS = yes_or_no("with_proofs", "Whether to also remove the proofs that depend on the trusted issuer.")


class Wanted(Body):
    """Request to bind proofs to the trusted issuer.

    Without `proofs`, the request binds the proofs without an issuer that this issuer can prove.
    """

    proofs: list[str] | None = Field(default=None, min_length=1)


class Kept(TypedDict):
    """A client that can authenticate only by the proofs of one trusted issuer."""

    client_id: str
    name: str


class HeldShown(TypedDict):
    """A proof and the client that has the proof."""

    client_id: str
    name: str
    proof_id: str
    selectors: list[SelectorShown]


class UsersShown(TypedDict):
    """The number of proofs and clients that use a trusted issuer.

    `stranded` lists clients that can authenticate in no other way. `waiting` lists the first proofs that have
    no issuer and that this issuer can prove. `waiting_proofs` is the number of all such proofs.
    """

    proofs: int
    clients: int
    stranded: list[Kept]
    more_stranded: bool
    waiting: list[HeldShown]
    waiting_proofs: int


class Bound(TypedDict):
    """The proofs that were bound. If `more` is true, repeat the request to bind further proofs."""

    bound: list[HeldShown]
    more: bool


class TrustedIssuerRemoved(TrustedIssuerShown):
    """The trusted issuer, and the number of proofs that were removed with it.

    If `removed` is false, some proofs are left (`left`), and the issuer is only disabled. Repeat the request to
    remove the other proofs and the issuer.
    """

    removed: bool
    proofs: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingOperations:
    """The operations on the proofs of trusted issuers. `issuer` is this authority's own issuer.

    `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """

    trust_domain: str
    issuer: str

    @operation("GET", ONE + "/users", "listUsersOfTrustedIssuer")
    async def users(self, call: Call[NoBody]) -> UsersShown:
        """Count the proofs and clients that use a trusted issuer.

        The answer also lists the proofs that can be bound to the issuer.
        """

        def look(tx: Tx, act: Act) -> tuple[Users, list[BoundProof]]:
            trusted_issuer = issuers.get(tx, act, call.of("trusted_issuer"))
            waiting = bindings.waiting(tx, act, trusted_issuer, trust_domain=self.trust_domain)
            return bindings.users_of(tx, act, trusted_issuer), waiting

        seen, waiting = await call.read(look)
        return {
            "proofs": seen.proofs,
            "clients": seen.clients,
            "stranded": [{"client_id": each.id, "name": each.name} for each in seen.stranded],
            "more_stranded": seen.more,
            "waiting": [_held(each) for each in waiting[: bindings.MOST_AT_ONCE]],
            "waiting_proofs": len(waiting),
        }

    @operation("POST", ONE + "/bind", "bindProofs")
    async def bind(self, call: Call[Wanted]) -> Bound:
        """Bind proofs to a trusted issuer."""
        wanted, ref = call.body.proofs, call.of("trusted_issuer")
        bound = await call.change(lambda tx, act: bindings.bind(tx, act, ref, wanted, trust_domain=self.trust_domain))
        return {
            "bound": [_held(each) for each in bound],
            "more": wanted is None and len(bound) == bindings.MOST_AT_ONCE,
        }

    @operation("DELETE", ONE, "removeTrustedIssuer", least=Role.ADMIN, query=(WITH_PROOFS,), revised=True)
    async def remove(self, call: Call[NoBody]) -> TrustedIssuerRemoved:
        """Remove a trusted issuer, and revoke the tokens that were issued on its proofs.

        Without `with_proofs=true`, the server refuses to remove an issuer that has proofs. Many proofs need several
        requests.
        """
        also = read_yes_or_no(call.request, "with_proofs") or False

        def work(tx: Tx, act: Act) -> bindings.Removed:
            trusted_issuer = issuers.get(tx, act, call.of("trusted_issuer"))
            call.matched(trusted_issuer, "This trusted issuer")
            return bindings.remove_trusted_issuer(tx, act, trusted_issuer.id, with_proofs=also)

        gone = await call.change(work)
        shown = as_json(gone.trusted_issuer, self.issuer)
        return {**shown, "removed": not gone.left, "proofs": gone.proofs, "left": gone.left}


def operations(*, trust_domain: str, issuer: str) -> list[AnyOperation]:
    """Return the operations on the proofs of trusted issuers; see `BindingOperations`."""
    its = BindingOperations(trust_domain=trust_domain, issuer=issuer)
    return declared(its.users, its.bind, its.remove)


def _held(each: BoundProof) -> HeldShown:
    return {
        "client_id": each.client.id,
        "name": each.client.name,
        "proof_id": each.proof.id,
        "selectors": list(map(selector_json, each.proof.selectors)),
    }
