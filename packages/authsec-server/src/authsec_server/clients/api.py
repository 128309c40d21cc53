"""Admin API operations for clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from authsec_server.clients import model as rules
from authsec_server.clients import search, service
from authsec_server.clients.filters import Attention, ClientFilters, ClientSort
from authsec_server.clients.model import Client, ClientKind, Onboarding, Platform
from authsec_server.clients.views import ClientMade, ClientShown, SeenClients, as_json, made, see, see_all
from authsec_server.db import Tx
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import LEFT_OUT, Body, Changes
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation, Parameter
from authsec_server.web.paging import PAGING, Page, paged
from authsec_server.web.params import one_of, read_one_of, read_yes_or_no, yes_or_no

PATH = f"{API}/clients"
Verb = Callable[[Tx, Act, str], Client]
FILTERS = (
    Parameter(name="text", description="Part of the name or slug, or how the client_id begins; in any case."),
    one_of("kind", "Of this kind.", ClientKind),
    one_of("platform", "Where it runs, or how it shows who it is.", Platform),
    yes_or_no("enabled", "Whether it is enabled."),
    Parameter(name="owner", description="Whose it is; the whole name, in any case."),
    Parameter(name="label", description="A label: name=value, or a name alone for any value."),
    one_of("attention", "What somebody should look at.", Attention),
)


class NewSelector(Body):
    """A selector of the request: one fact about the workload."""

    key: str
    value: str


class NewClient(Body):
    """Request to onboard a client. The platform decides if `selectors` or `public_key` (PEM) is needed."""

    name: str
    platform: str
    kind: Literal["ai_agent", "mcp_server"] = "ai_agent"
    selectors: list[NewSelector] = Field(default_factory=list)
    public_key: str | None = Field(default=None, repr=False)  # somebody will paste a private one
    trusted_issuer: str | None = None  # needed where several trusted issuers can prove the selectors
    slug: str | None = None
    owner: str | None = None
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)

    def onboarding(self) -> Onboarding:
        """Convert the request to an `Onboarding`."""
        return Onboarding(
            name=self.name,
            platform=self.platform,
            kind=ClientKind(self.kind),
            selectors=tuple((each.key, each.value) for each in self.selectors),
            public_key=self.public_key,
            trusted_issuer=self.trusted_issuer,
            slug=self.slug,
            owner=self.owner,
            description=self.description,
            labels=self.labels,
        )


class ClientChanges(Changes):
    """Changes to the description of a client; they revoke no token. An old `slug` finds nothing."""

    name: str = LEFT_OUT
    slug: str = LEFT_OUT
    owner: str = LEFT_OUT
    description: str = LEFT_OUT
    labels: dict[str, str] = LEFT_OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOperations:
    """Handlers of the client operations. `trust_domain` is the trust domain in the clients' SPIFFE IDs.

    `delete` also deletes the client's delegations, which belong to a package above this one.
    """

    trust_domain: str
    delete: Verb

    async def page(self, call: Call[NoBody]) -> Page[ClientShown]:
        """List clients in name order."""
        filters = ClientFilters(
            text=call.query("text") or "",
            kind=read_one_of(call.request, "kind", ClientKind),
            platform=read_one_of(call.request, "platform", Platform),
            enabled=read_yes_or_no(call.request, "enabled"),
            owner=call.query("owner") or "",
            label=call.query("label") or "",
            attention=read_one_of(call.request, "attention", Attention),
        )

        def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[list[SeenClients], str | None]:
            found, following = search.page_of(tx, act, filters, sort=ClientSort.NAME, cursor=after, limit=limit)
            return see_all(tx, found), following

        return await paged(call, bool, load, lambda seen: self.shown(call, seen))  # what a cursor is, the list knows

    async def create(self, call: Call[NewClient]) -> ClientMade:
        """Onboard a client. Only this answer contains the new client secret, if there is one."""
        wanted = call.body.onboarding()
        client = await call.change(lambda tx, act: service.create(tx, act, wanted, trust_domain=self.trust_domain))
        return made(await call.read(lambda tx, _: see(tx, client)), self.trust_domain, call.act.now)

    async def show(self, call: Call[NoBody]) -> ClientShown:
        """Return one client."""
        return self.shown(call, await call.read(lambda tx, act: see(tx, service.get(tx, act, call.of("client")))))

    async def edit(self, call: Call[ClientChanges]) -> ClientShown:
        """Change the fields that the request contains."""

        def work(tx: Tx, act: Act) -> Client:
            client = service.get(tx, act, call.of("client"))
            revision = call.matched(client, client.name)
            return service.edit(tx, act, client.id, revision=revision, changes=rules.ClientEdit(**call.body.given()))

        return await self._seen(call, await call.change(work))

    async def remove(self, call: Call[NoBody]) -> ClientShown:
        """Delete the client with its proofs and delegations, and revoke its tokens."""

        def work(tx: Tx, act: Act) -> Client:
            client = service.get(tx, act, call.of("client"))
            call.matched(client, client.name)
            return self.delete(tx, act, client.id)

        return await self._seen(call, await call.change(work))

    def turning(self, verb: Verb) -> Callable[[Call[NoBody]], Awaitable[ClientShown]]:
        """Return a handler that applies `verb` to the client."""

        async def turn(call: Call[NoBody]) -> ClientShown:
            return await self._seen(call, await call.change(lambda tx, act: verb(tx, act, call.of("client"))))

        return turn

    def shown(self, call: Call[NoBody] | Call[ClientChanges], seen: SeenClients) -> ClientShown:
        """Convert the client to JSON."""
        return as_json(seen, self.trust_domain, call.act.now)

    async def _seen(self, call: Call[NoBody] | Call[ClientChanges], client: Client) -> ClientShown:
        return self.shown(call, await call.read(lambda tx, _: see(tx, client)))


def operations(*, trust_domain: str, delete: Verb) -> list[AnyOperation]:
    """Return the operations on clients; see `ClientOperations`."""
    its = ClientOperations(trust_domain=trust_domain, delete=delete)
    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listClients",
            summary="List clients by name",
            query=(*FILTERS, *PAGING),
            handler=its.page,
            answer=Page[ClientShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="createClient",
            summary="Onboard a client with its first proof",
            description="A client secret that is made for it is in this answer, and in no other.",
            least=Role.OPERATOR,
            body=NewClient,
            handler=its.create,
            answer=ClientMade,
            status=201,
            location=PATH + "/{client_id}",
            revised=True,
            secrets=("client_secret",),
        ),
        Operation(
            method="GET",
            path=PATH + "/{client}",
            operation_id="showClient",
            summary="Get a client",
            handler=its.show,
            answer=ClientShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=PATH + "/{client}",
            operation_id="editClient",
            summary="Edit the name, slug, owner, description or labels of a client",
            least=Role.OPERATOR,
            body=ClientChanges,
            handler=its.edit,
            answer=ClientShown,
            revised=True,
        ),
        Operation(
            method="DELETE",
            path=PATH + "/{client}",
            operation_id="deleteClient",
            summary="Delete a client with its proofs and trust delegations, and revoke its tokens",
            least=Role.OPERATOR,
            handler=its.remove,
            answer=ClientShown,
            revised=True,
        ),
        *_turns(its),
    ]


def _turns(its: ClientOperations) -> list[AnyOperation]:
    """Return the operations that work for any revision of a client: disable, enable and revoke tokens."""
    turns: tuple[tuple[str, str, str, Verb], ...] = (
        ("disable", "disableClient", "Turn a client off, and end its tokens and enrolment codes", service.disable),
        ("enable", "enableClient", "Turn a client on again; what has ended stays ended", service.enable),
        ("revoke-tokens", "revokeTokensOfClient", "End all tokens that a client has by now", service.revoke_tokens),
    )
    return [
        Operation(
            method="POST",
            path=f"{PATH}/{{client}}/{word}",
            operation_id=operation_id,
            summary=summary,
            least=Role.OPERATOR,
            handler=its.turning(verb),
            answer=ClientShown,
            revised=True,
        )
        for word, operation_id, summary, verb in turns
    ]
