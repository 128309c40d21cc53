"""Admin API operations for the configuration: export it, compare a document with it, and apply a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import anyio
import anyio.to_thread
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.configuration.document import Document
from authsec_server.configuration.kinds import agents, apis, delegations, roles
from authsec_server.configuration.kinds import issuers as as_issuers
from authsec_server.configuration.model import Change, Difference, Facts, Section, Verb
from authsec_server.configuration.planning import PlanRequest, apply, planned
from authsec_server.configuration.reading import Present, present
from authsec_server.configuration.steps import Plan, Setting, at
from authsec_server.db import Tx
from authsec_server.failures import Outdated, Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.cluster_client import ClusterApis, require_answers
from authsec_server.principal import Act
from authsec_server.web.bodies import Body
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation

T = TypeVar("T")

MOST_OF_ONE: Final = 3
"""The limit of running and waiting requests of one principal. More requests would take threads that token requests
need."""


class OneByOne:
    """A queue that runs reads one at a time in a separate thread, because token requests need the processor, too.

    At most `MOST_OF_ONE` reads of one principal run or wait, so that other principals need not wait for long.
    """

    def __init__(self) -> None:
        self._thread = anyio.CapacityLimiter(1)
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def read(self, call: Call[Any], work: Callable[[Tx, Act], T]) -> T:
        """Wait until no other read runs, then run `work` on one snapshot.

        Raises `Unavailable` if `MOST_OF_ONE` reads of the same principal already run or wait.
        """
        who = (str(call.act.principal.kind), call.act.principal.id)
        if self._under_way[who] >= MOST_OF_ONE:
            raise Unavailable(
                f"{MOST_OF_ONE} of your documents are being compared, which is the limit.",
                "Retry when they are finished.",
            )
        self._under_way[who] += 1
        try:
            return await anyio.to_thread.run_sync(
                lambda: call.site.database.read(lambda tx: work(tx, call.act)), limiter=self._thread
            )
        finally:
            self._under_way -= Counter([who])


PATH = f"{API}/configuration"
MAX_DOCUMENT = 2 * 1024 * 1024


class Compared(Body):
    """Request body: a document to compare, with its options.

    With `prune`, entities that a section of the document does not name are removed. A section that the document
    leaves out is not pruned. With `renew`, delegations that the document names are created again if they have
    ended or were revoked.
    """

    configuration: Document
    prune: bool = False
    renew: bool = False


class Applied(Compared):
    """Request body: a document to apply, with its options.

    With `authority_version`, the document is applied only if the authority still has that version. With `anyway`,
    look-ups in a cluster are enabled even if the cluster does not answer.
    """

    authority_version: int | None = Field(default=None, ge=0, le=2**53 - 1)
    anyway: bool = False


class ConfigurationShown(TypedDict):
    """The current configuration. `configuration` is a document that can be sent back unchanged."""

    authority_version: int
    configuration: Mapping[str, Mapping[str, Mapping[str, Any]]]


class DifferenceShown(TypedDict):
    """One field before and after the change; for lists and maps, also the added and removed items."""

    field: str
    before: Any
    after: Any
    added: list[str]
    removed: list[str]


class ChangeShown(TypedDict):
    """A change of one entity. `unattested`: after the change, the agent needs only its client_id to get tokens."""

    verb: Literal["create", "edit", "remove"]
    section: Literal["issuers", "apis", "roles", "agents", "delegations"]
    slug: str
    unattested: bool
    differences: list[DifferenceShown]
    notes: list[str]


class NoteShown(TypedDict):
    """A note about an entity that the document does not change."""

    section: Literal["issuers", "apis", "roles", "agents", "delegations"]
    slug: str
    text: str


class PlanShown(TypedDict):
    """The changes that a document makes, and the authority version that the document was compared with."""

    authority_version: int
    changes: list[ChangeShown]
    notes: list[NoteShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationOperations:
    """The operations on the configuration as one document.

    Each operation reads the whole configuration. `turns` therefore runs these reads one at a time.
    """

    setting: Setting
    cluster_apis: ClusterApis
    turns: OneByOne = field(default_factory=OneByOne)

    @operation("GET", PATH, "showConfiguration")
    async def show(self, call: Call[NoBody]) -> ConfigurationShown:
        """Export the configuration as one document."""
        return await self.turns.read(call, _shown)

    @operation(
        "POST",
        PATH,
        "applyConfiguration",
        max_body=MAX_DOCUMENT,
        refusals=(412,),  # the authority was changed since the comparison
    )
    async def change(self, call: Call[Applied]) -> PlanShown:
        """Apply a configuration document, all or nothing.

        Each change in the document needs the same role as the operation for that change alone. Changes of trusted
        issuers need the role admin.
        """
        asked = _asked(call.body)
        version, found = await self.turns.read(
            call, lambda tx, act: (tx.version, planned(tx, act, asked, self.setting))
        )
        _require_version(call.body, version, call.act)
        if not found.steps:  # nothing to change: take no authority lock
            return as_json(found, version)
        if not call.body.anyway:
            await _ask_clusters(call, found, self.cluster_apis)

        def work(tx: Tx, act: Act) -> PlanShown:
            before = tx.version - 1  # this change has already raised the version
            _require_version(call.body, before, act)
            # If nothing changed meanwhile, use the first plan: planning again would keep the authority lock longer.
            its = found if before == version else planned(tx, act, asked, self.setting)
            apply(tx, act, its)
            return as_json(its, before)

        return await call.change(work)

    @operation("POST", f"{PATH}/compare", "compareConfiguration", max_body=MAX_DOCUMENT, question=True)
    async def compare(self, call: Call[Compared]) -> PlanShown:
        """Compare a configuration document with the authority.

        The comparison takes no lock. The dry run of `applyConfiguration` also shows the impact on live tokens.
        """
        asked = _asked(call.body)
        return await self.turns.read(call, lambda tx, act: as_json(planned(tx, act, asked, self.setting), tx.version))


def operations(setting: Setting, cluster_apis: ClusterApis) -> list[AnyOperation]:
    """Return the operations on the configuration; see `ConfigurationOperations`."""
    its = ConfigurationOperations(setting=setting, cluster_apis=cluster_apis)
    return declared(its.show, its.change, its.compare)


def _shown(tx: Tx, act: Act) -> ConfigurationShown:
    found = present(tx, act)
    return {"authority_version": found.version, "configuration": document_of(found)}


def as_json(plan: Plan, version: int) -> PlanShown:
    """Return the plan as the admin API shows it."""
    return {
        "authority_version": version,
        "changes": [_change(each) for each in plan.changes],
        "notes": [{"section": each.section.value, "slug": each.slug, "text": each.text} for each in plan.notes],
    }


def _change(change: Change) -> ChangeShown:
    return {
        "verb": change.verb.value,
        "section": change.section.value,
        "slug": change.slug,
        "unattested": change.unattested,
        "differences": [_difference(each) for each in change.differences],
        "notes": list(change.notes),
    }


def _difference(difference: Difference) -> DifferenceShown:
    return {
        "field": difference.field,
        "before": difference.before,
        "after": difference.after,
        "added": list(difference.added),
        "removed": list(difference.removed),
    }


def _asked(body: Compared) -> PlanRequest:
    return PlanRequest(document=body.configuration, prune=body.prune, renew=body.renew)


def _require_version(body: Applied, version: int, act: Act) -> None:
    if body.authority_version not in (None, version):
        raise Outdated(
            f"The authority was changed since version {body.authority_version}; it now has version {version}. "
            "Nothing was done.",
            "Compare again, and check what would change now.",
            by="",
            at=act.now,
        )


async def _ask_clusters(call: Call[Applied], plan: Plan, cluster_apis: ClusterApis) -> None:
    """Check that each cluster answers. The check comes before look-ups are enabled and before anything changes."""
    for change in plan.changes:
        if change.section is Section.ISSUERS and change.verb is Verb.EDIT:
            with at(change.section, change.slug):
                await _ask_cluster(call, change.slug, cluster_apis)


async def _ask_cluster(call: Call[Applied], slug: str, cluster_apis: ClusterApis) -> None:
    held = await call.read(lambda tx, act: issuers.to_refresh(tx, act, slug))
    edits = as_issuers.edits(held, slug, (call.body.configuration.issuers or {})[slug])
    await run_in_threadpool(require_answers, cluster_apis, held, revision=held.revision, changes=edits)


def document_of(present: Present) -> Mapping[str, Mapping[str, Facts]]:
    """Export the configuration as a document, by section and slug. The order is fixed, so that diffs are small.

    The document contains no client secret, no private key, no enrolment code and no administrator.
    """
    return {
        Section.ISSUERS.value: {slug: as_issuers.exported(its) for slug, its in sorted(present.issuers.items())},
        Section.APIS.value: {slug: apis.exported(its) for slug, its in sorted(present.apis.items())},
        Section.ROLES.value: {slug: roles.exported(its) for slug, its in sorted(present.roles.items())},
        Section.AGENTS.value: {slug: agents.exported(its, present) for slug, its in sorted(present.agents.items())},
        Section.DELEGATIONS.value: {
            slug: delegations.exported(its, present) for slug, its in sorted(present.delegations.items())
        },
    }
