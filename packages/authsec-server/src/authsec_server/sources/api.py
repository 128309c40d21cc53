"""Trust sources over HTTP. What becomes of the proofs that rest on them is in `clients`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.principal import Act, Role
from authsec_server.sources import model, service
from authsec_server.sources.cluster_client import ClusterApis, require_answers
from authsec_server.sources.model import KeysFrom, SourceKind, TrustSource, looks_up_pods, provable
from authsec_server.web.bodies import LEFT_OUT, Body, Changes
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation, Parameter
from authsec_server.web.paging import PAGING, Page, paged


class SourceShown(TypedDict):
    """A source as the admin API shows it. `token_audience` is what its tokens must be for, as it stands."""

    id: str
    slug: str
    name: str
    kind: SourceKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str | None
    given_keys: dict[str, Any] | None
    ca: str | None
    audience: str | None
    token_audience: str
    claims: dict[str, str]
    api_server: str | None
    api_ca: str | None
    credentials: str | None
    token_review: bool
    pod_lookup: bool
    proves: list[str]
    enabled: bool
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None


def as_json(source: TrustSource, issuer: str) -> SourceShown:
    """The source. `issuer` is this authority's own."""
    return {
        "id": source.id,
        "slug": source.slug,
        "name": source.name,
        "kind": source.kind,
        "issuer": source.issuer,
        "keys_from": source.keys_from,
        "keys_url": source.keys_url or None,
        "given_keys": dict(source.given_keys) if source.given_keys else None,
        "ca": source.ca or None,
        "audience": source.audience or None,
        "token_audience": source.audience or issuer,
        "claims": dict(source.claims),
        "api_server": source.cluster.url if source.cluster else None,
        "api_ca": (source.cluster.ca if source.cluster else "") or None,
        "credentials": source.cluster.credentials if source.cluster else None,
        "token_review": source.cluster is not None and source.cluster.reviews,
        "pod_lookup": looks_up_pods(source),
        "proves": list(provable(source)),
        "enabled": source.enabled,
        "created_at": rfc3339(source.created_at),
        "revision": source.revision,
        "changed_at": rfc3339(source.changed_at),
        "changed_by": source.changed_by or None,
    }


PATH = f"{API}/sources"
Verb = Callable[[Tx, Act, str], TrustSource]


class EditSource(Protocol):
    """Changes a source, and what has to follow."""

    def __call__(
        self, tx: Tx, act: Act, id_or_slug: str, /, *, revision: int, changes: model.SourceEdit, may_look_up: bool
    ) -> TrustSource: ...


class NewSource(Body):
    """A trust source to be registered."""

    name: str
    kind: str
    issuer: str
    keys_from: str
    slug: str | None = None
    keys_url: str = ""
    given_keys: dict[str, Any] | None = Field(default=None, repr=False)  # somebody will paste private ones
    ca: str = ""
    audience: str = ""
    claims: dict[str, str] = Field(default_factory=dict)
    preset: str = ""
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False


class SourceChanges(Changes):
    """What an edit may change of a source. `anyway`: look-ups are turned on although the cluster does not answer."""

    name: str = LEFT_OUT
    issuer: str = LEFT_OUT
    keys_from: str = LEFT_OUT
    keys_url: str = LEFT_OUT
    given_keys: dict[str, Any] = LEFT_OUT
    ca: str = LEFT_OUT
    audience: str = LEFT_OUT
    claims: dict[str, str] = LEFT_OUT
    api_server: str = LEFT_OUT
    api_ca: str = LEFT_OUT
    credentials: str = LEFT_OUT
    token_review: bool = LEFT_OUT
    pod_lookup: bool = LEFT_OUT
    anyway: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The room's handlers. `issuer` is this authority's own, which tokens are for unless their source says else.

    `edit_it`, `disable` and `enable` are the verbs of `clients`, which has to follow.
    """

    cluster_apis: ClusterApis
    issuer: str
    edit_it: EditSource
    disable: Verb
    enable: Verb

    async def page(self, call: Call[NoBody]) -> Page[SourceShown]:
        """Sources, in the order of their slugs."""
        load = partial(service.page, text=call.query("text") or "")
        return await paged(call, naming.is_slug, load, lambda source: as_json(source, self.issuer))

    async def create(self, call: Call[NewSource]) -> SourceShown:
        """Registers one."""
        asked, may = model.ProposedSource(**dict(call.body)), self.cluster_apis.possible
        source = await call.change(lambda tx, act: service.create(tx, act, asked, may_look_up=may))
        return as_json(source, self.issuer)

    async def show(self, call: Call[NoBody]) -> SourceShown:
        """One of them."""
        return as_json(await call.read(lambda tx, act: service.get(tx, act, call.of("source"))), self.issuer)

    async def edit(self, call: Call[SourceChanges]) -> SourceShown:
        """Changes what is sent; the cluster is asked first where look-ups in it are turned on."""
        changes = model.SourceEdit(**{name: value for name, value in call.body.given().items() if name != "anyway"})
        if not call.body.anyway:
            before = await call.read(lambda tx, act: service.to_refresh(tx, act, call.of("source")))
            revision = before.revision if call.expected is None else call.expected.revision
            await run_in_threadpool(require_answers, self.cluster_apis, before, revision=revision, changes=changes)

        def work(tx: Tx, act: Act) -> TrustSource:
            source = service.get(tx, act, call.of("source"))
            return self.edit_it(
                tx,
                act,
                source.id,
                revision=call.matched(source, "This trust source"),
                changes=changes,
                may_look_up=self.cluster_apis.possible,
            )

        return as_json(await call.change(work), self.issuer)

    def turning(self, verb: Verb) -> Callable[[Call[NoBody]], Awaitable[SourceShown]]:
        """A handler that does this to the source."""

        async def turn(call: Call[NoBody]) -> SourceShown:
            return as_json(await call.change(lambda tx, act: verb(tx, act, call.of("source"))), self.issuer)

        return turn


def operations(
    cluster_apis: ClusterApis, *, issuer: str, edit: EditSource, disable: Verb, enable: Verb
) -> list[AnyOperation]:
    """The operations of this room; see `Sources`."""
    its = Sources(cluster_apis=cluster_apis, issuer=issuer, edit_it=edit, disable=disable, enable=enable)
    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listSources",
            summary="Trust sources, in the order of their slugs",
            query=(
                Parameter(name="text", description="Part of the name, slug or issuer, or how the id begins."),
                *PAGING,
            ),
            handler=its.page,
            answer=Page[SourceShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="createSource",
            summary="Register a trust source",
            least=Role.ADMIN,
            body=NewSource,
            handler=its.create,
            answer=SourceShown,
            status=201,
            location=PATH + "/{id}",
            revised=True,
        ),
        Operation(
            method="GET",
            path=PATH + "/{source}",
            operation_id="showSource",
            summary="A trust source",
            handler=its.show,
            answer=SourceShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=PATH + "/{source}",
            operation_id="editSource",
            summary="Edit a trust source",
            description="Where less counts than before, the tokens that rest on it end. A cluster is asked once before "
            "look-ups in it are turned on; if it does not answer, nothing is saved. With anyway it is not asked.",
            least=Role.ADMIN,
            body=SourceChanges,
            handler=its.edit,
            answer=SourceShown,
            revised=True,
        ),
        *_turns(its),
    ]


def _turns(its: Sources) -> list[AnyOperation]:
    turns: tuple[tuple[str, str, Verb], ...] = (
        ("disable", "Let a trust source's word count no more, and end the tokens that rest on it", its.disable),
        ("enable", "Let a trust source's word count again; what has ended stays ended", its.enable),
    )
    return [
        Operation(
            method="POST",
            path=f"{PATH}/{{source}}/{word}",
            operation_id=f"{word}Source",
            summary=summary,
            least=Role.ADMIN,
            handler=its.turning(verb),
            answer=SourceShown,
            revised=True,
        )
        for word, summary, verb in turns
    ]
