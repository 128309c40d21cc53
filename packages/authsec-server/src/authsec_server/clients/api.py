"""Admin API operations for clients and their proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from pydantic import Field

from authsec_server.clients import held_proofs, search, service
from authsec_server.clients.model import OVERLAP, Attention, Client, ClientKind, NewProof, Onboarding, Platform, Proof
from authsec_server.clients.search import ClientFilters, ClientSort
from authsec_server.clients.views import (
    ClientChanges,
    ClientDescriptionBody,
    ClientDetails,
    ClientEnabled,
    ClientMade,
    ClientShown,
    ProofShown,
    as_json,
    load_all_details,
    load_details,
    made,
    proof_json,
)
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body
from authsec_server.web.instants import parse_instant
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
from authsec_server.web.paging import PAGING, Page, one_of, paged, read_one_of, read_yes_or_no, yes_or_no

PATH = f"{API}/clients"
ONE = PATH + "/{client}"
Verb = Callable[[Tx, Act, str], Client]
StateOf = Callable[[Tx, Client, datetime], str]
FILTERS = (
    Parameter(
        name="text",
        description="Only clients whose name or slug contains this text, or whose client_id begins "
        "with it. Case does not matter.",
    ),
    one_of("kind", "Only clients of this kind.", ClientKind),
    one_of(
        "platform", "Only clients of this platform: where the client runs, or how the client authenticates.", Platform
    ),
    yes_or_no("enabled", "Only enabled clients, or only disabled ones."),
    Parameter(name="owner", description="Only clients of this owner. Give the whole name; case does not matter."),
    Parameter(name="label", description="Only clients with this label: name=value, or only a name for any value."),
    one_of("attention", "Only clients that need attention.", Attention),
)


class NewSelector(Body):
    """A selector in a request: one fact about the workload, as a key and a value."""

    key: str
    value: str


class NewClient(ClientDescriptionBody):
    """Request to onboard a client.

    The platform decides whether the request needs `selectors` or `public_key` (PEM).
    """

    name: str
    platform: str
    kind: Literal["ai_agent", "mcp_server"] = "ai_agent"
    selectors: list[NewSelector] = Field(default_factory=list)
    public_key: str | None = Field(default=None, repr=False)  # people paste private keys by mistake
    trusted_issuer: str | None = None  # required if several trusted issuers can prove the selectors
    slug: str | None = None

    def onboarding(self) -> Onboarding:
        """Convert the request to an `Onboarding`."""
        kind, selectors = ClientKind(self.kind), tuple((each.key, each.value) for each in self.selectors)
        return Onboarding(**{**dict(self), "kind": kind, "selectors": selectors})


class FurtherProof(Body):
    """Request to add a proof, with fields as in `NewClient`. `expires_at` is RFC 3339."""

    platform: str
    selectors: list[NewSelector] = Field(default_factory=list)
    public_key: str | None = Field(default=None, repr=False)  # people paste private keys by mistake
    trusted_issuer: str | None = None
    expires_at: str | None = None

    def wanted(self) -> NewProof:
        """Convert the request to a `NewProof`."""
        return NewProof(
            platform=self.platform,
            selectors=tuple((each.key, each.value) for each in self.selectors),
            public_key=self.public_key,
            trusted_issuer=self.trusted_issuer,
            expires_at=None if self.expires_at is None else parse_instant("expires_at", self.expires_at),
        )


class Rotation(Body):
    """Request to rotate the secret. `overlap` is the time, in seconds, for which the earlier secrets stay valid."""

    overlap: int = Field(int(OVERLAP.total_seconds()), ge=-(10**9), le=10**9)  # `rotate_secret` checks the limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOperations:
    """The operations on clients and proofs. `trust_domain` is the trust domain in the clients' SPIFFE IDs.

    `delete_client` deletes a client together with the client's delegations. `state_of` returns whether a client can
    get tokens. The caller passes both functions, because this package must not import the package `delegations`.
    """

    trust_domain: str
    delete_client: Verb
    state_of: StateOf

    @operation("GET", PATH, "listClients", query=(*FILTERS, *PAGING))
    async def page(self, call: Call[NoBody]) -> Page[ClientShown]:
        """List clients by name."""
        filters = ClientFilters(
            text=call.query("text") or "",
            kind=read_one_of(call.request, "kind", ClientKind),
            platform=read_one_of(call.request, "platform", Platform),
            enabled=read_yes_or_no(call.request, "enabled"),
            owner=call.query("owner") or "",
            label=call.query("label") or "",
            attention=read_one_of(call.request, "attention", Attention),
        )

        def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[list[ClientDetails], str | None]:
            found, following = search.page_of(tx, act, filters, sort=ClientSort.NAME, cursor=after, limit=limit)
            return load_all_details(tx, found), following

        return await paged(call, bool, load, lambda seen: self._shown(call, seen))  # `search` checks the cursor

    @operation(
        "POST",
        PATH,
        "createClient",
        status=201,
        location=PATH + "/{client_id}",
        revised=True,
        secrets=("client_secret",),
    )
    async def create(self, call: Call[NewClient]) -> ClientMade:
        """Onboard a client with its first proof.

        If a client secret is made, only this answer contains the secret.
        """
        wanted = call.body.onboarding()
        client = await call.change(lambda tx, act: service.create(tx, act, wanted, trust_domain=self.trust_domain))
        return made(await call.read(lambda tx, _: load_details(tx, client)), self.trust_domain, call.act.now)

    @operation("GET", ONE, "showClient", revised=True)
    async def show(self, call: Call[NoBody]) -> ClientShown:
        """Get a client."""
        return self._shown(
            call, await call.read(lambda tx, act: load_details(tx, service.get(tx, act, call.of("client"))))
        )

    @operation("PATCH", ONE, "editClient", revised=True)
    async def edit(self, call: Call[ClientChanges]) -> ClientShown:
        """Edit the description of a client."""

        def work(tx: Tx, act: Act) -> Client:
            client = service.get(tx, act, call.of("client"))
            revision = call.matched(client, client.name)
            return service.edit(tx, act, client.id, revision=revision, changes=call.body.given())

        return await self._changed(call, work)

    @operation("DELETE", ONE, "deleteClient", revised=True)
    async def delete(self, call: Call[NoBody]) -> ClientShown:
        """Delete a client with its proofs and trust delegations, and revoke its tokens."""

        def work(tx: Tx, act: Act) -> Client:
            client = service.get(tx, act, call.of("client"))
            call.matched(client, client.name)
            return self.delete_client(tx, act, client.id)

        return await self._changed(call, work)

    @operation("POST", ONE + "/disable", "disableClient", revised=True)
    async def disable(self, call: Call[NoBody]) -> ClientShown:
        """Disable a client: revoke its tokens and delete its enrolment codes."""
        return await self._changed(call, lambda tx, act: service.disable(tx, act, call.of("client")))

    @operation("POST", ONE + "/enable", "enableClient", revised=True)
    async def enable(self, call: Call[NoBody]) -> ClientEnabled:
        """Enable a client.

        Revoked tokens stay revoked. The answer says whether the client can get tokens now (`state`): `ready`,
        `undelegated` without a live delegation, or `unproved` without a proof that this authority can verify.
        """
        client = await call.change(lambda tx, act: service.enable(tx, act, call.of("client")))

        def load(tx: Tx, act: Act) -> tuple[ClientDetails, str]:
            return load_details(tx, client), self.state_of(tx, client, act.now)

        seen, state = await call.read(load)
        return cast("ClientEnabled", {**self._shown(call, seen), "state": state})

    @operation("POST", ONE + "/revoke-tokens", "revokeTokensOfClient", revised=True)
    async def revoke_tokens(self, call: Call[NoBody]) -> ClientShown:
        """Revoke all tokens that a client has at this time."""
        return await self._changed(call, lambda tx, act: service.revoke_tokens(tx, act, call.of("client")))

    async def _changed(self, call: Call[Any], work: Callable[[Tx, Act], Client]) -> ClientShown:
        client = await call.change(work)
        return self._shown(call, await call.read(lambda tx, _: load_details(tx, client)))

    def _shown(self, call: Call[Any], seen: ClientDetails) -> ClientShown:
        return as_json(seen, self.trust_domain, call.act.now)

    @operation("POST", ONE + "/proofs", "addProof", status=201, revised=True, secrets=("client_secret",))
    async def add_proof(self, call: Call[FurtherProof]) -> ClientMade:
        """Add a proof to a client.

        If a client secret is made, only this answer contains the secret.
        """
        wanted, domain = call.body.wanted(), self.trust_domain
        client = await call.change(
            lambda tx, act: held_proofs.add_proof(tx, act, call.of("client"), wanted, trust_domain=domain)
        )
        return made(await call.read(lambda tx, _: load_details(tx, client)), domain, call.act.now)

    @operation("DELETE", ONE + "/proofs/{proof}", "removeProof")
    async def remove_proof(self, call: Call[NoBody]) -> ProofShown:
        """Remove a proof, and revoke the tokens that were issued on it.

        A client without a proof gets no token until it has another proof.
        """

        def work(tx: Tx, act: Act) -> tuple[Client, Proof]:
            client = service.get(tx, act, call.of("client"))
            proof = held_proofs.held(client, call.of("proof"))
            held_proofs.remove_proof(tx, act, client.id, proof.id)
            return client, proof

        had, removed = await call.change(work)
        return proof_json(removed, await call.read(lambda tx, _: load_details(tx, had)), call.act.now)

    @operation("POST", ONE + "/secret", "rotateSecret", status=201, revised=True, secrets=("client_secret",))
    async def rotate_secret(self, call: Call[Rotation]) -> ClientMade:
        """Create a new secret for a client.

        Only this answer contains the new secret. Earlier secrets stay valid for the time `overlap`.
        """
        overlap = timedelta(seconds=call.body.overlap)
        client = await call.change(lambda tx, act: held_proofs.rotate_secret(tx, act, call.of("client"), overlap))
        return made(await call.read(lambda tx, _: load_details(tx, client)), self.trust_domain, call.act.now)


def operations(*, trust_domain: str, delete: Verb, state_of: StateOf) -> list[AnyOperation]:
    """Return the operations on clients and proofs; see `ClientOperations`."""
    its = ClientOperations(trust_domain=trust_domain, delete_client=delete, state_of=state_of)
    return declared(
        its.page,
        its.create,
        its.show,
        its.edit,
        its.delete,
        its.disable,
        its.enable,
        its.revoke_tokens,
        its.add_proof,
        its.remove_proof,
        its.rotate_secret,
    )
