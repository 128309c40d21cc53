"""Plan the changes of a document by comparing it with the current configuration, and apply the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from authsec_server.apis.model import parse_identifier
from authsec_server.configuration.document import Document
from authsec_server.configuration.kinds import agents, apis, delegations, issuers, roles
from authsec_server.configuration.model import Change, Note, Section, Verb
from authsec_server.configuration.reading import Present, Scope, present
from authsec_server.configuration.steps import Plan, PlannedStep, Setting, at
from authsec_server.db import Tx
from authsec_server.delegations.model import ENDED_STATES, state
from authsec_server.failures import Invalid
from authsec_server.naming import quoted
from authsec_server.principal import Act
from authsec_server.suggest import told_nearest

MOST_WORK: Final = 650
"""The limit of changes and look-ups of one document. Applying a document takes the authority lock, and no token is
issued during that time. Each change or look-up takes 1.5 ms of processor time, 2.5 ms with PostgreSQL. A delegation
without an audience takes twice as long (`benchmarks/README.md`). A document takes one to three seconds on an idle
machine, and many times as long on a busy machine."""

MOST_SUGGESTIONS: Final = 20
"""The limit of suggestions for unknown audiences in one answer. Each suggestion compares the audience with all
names."""

READ_AS_FAST_AS_ONE_ACT: Final = 30
"""One change takes as long as reading this number of delegations of one agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """A document and the options for planning it.

    With `prune`, entities are removed if the document has a section for their kind that does not name them.
    With `renew`, delegations that the document names are created again if they have ended or were revoked.
    """

    document: Document
    prune: bool = False
    renew: bool = False

    def names(self, section: Section) -> Collection[str] | None:
        """Return the slugs that the section names; None if the document leaves out the section."""
        found: Mapping[str, Any] | None = getattr(self.document, section)
        return None if found is None else found.keys()

    def prunes(self, section: Section) -> bool:
        """Whether entities that this section does not name are removed."""
        return self.prune and self.names(section) is not None


def scope_of(asked: PlanRequest) -> Scope:
    """Return which agents and delegations must be read to plan this request."""
    given = asked.document.delegations or {}
    return Scope(
        agents={*(asked.document.agents or {}), *(shape.agent for shape in given.values())},
        delegations=given.keys(),
        every_agent=asked.prunes(Section.AGENTS),
        # The deletion of an agent revokes its delegations.
        every_delegation=asked.prunes(Section.DELEGATIONS) or asked.prunes(Section.AGENTS),
    )


def plan(asked: PlanRequest, present: Present, setting: Setting) -> Plan:
    """Plan all steps and notes. Raises `Invalid` with the path in the document.

    The work is counted after each step. A document of thousands of changes is therefore refused before all of its
    steps are planned.
    """
    wanted = _weighed(_wanted(asked, present, setting), asked, present)
    steps = [*_within_bound(chain(wanted, _removed(asked, present, setting)))]
    in_order = sorted(steps, key=lambda step: [*Section].index(step.change.section))
    return Plan(steps=tuple(_telling_renamed(in_order)), notes=tuple(_notes(asked, present, {*_slugs(steps)})))


def _within_bound(steps: Iterable[PlannedStep]) -> Iterator[PlannedStep]:
    """Yield the steps. Raises `Invalid` at the first step with which the total work exceeds `MOST_WORK`."""
    work = 0
    for step in steps:
        work += step.work
        if work > MOST_WORK:
            raise Invalid(
                "configuration",
                f"This document makes more than {MOST_WORK} changes, counting each proof and each audience of a "
                f"delegation. The number is limited, because no token is issued while the changes are applied.",
                "Apply the document in parts, without prune: begin with some entries and everything that these "
                "entries refer to. To prune many entries, keep some of them in the document at first.",
            )
        yield step


def _wanted(asked: PlanRequest, present: Present, setting: Setting) -> Iterator[PlannedStep]:
    document = asked.document
    for slug, trusted_issuer in (document.issuers or {}).items():
        with at(Section.ISSUERS, slug):
            yield from _one(issuers.step(slug, trusted_issuer, present.issuers.get(slug), setting))
    for slug, api in (document.apis or {}).items():
        with at(Section.APIS, slug):
            yield from _one(apis.step(slug, api, present.apis.get(slug)))
    for slug, role in (document.roles or {}).items():
        with at(Section.ROLES, slug):
            yield from _one(roles.step(slug, role, present.roles.get(slug)))
    for slug, agent in (document.agents or {}).items():
        with at(Section.AGENTS, slug):
            for index, proof in enumerate(agent.proofs):
                if proof.trusted_issuer is not None:
                    _require(
                        f"proofs.{index}.trusted_issuer", proof.trusted_issuer, Section.ISSUERS, asked, present.issuers
                    )
            yield from _one(agents.step(slug, agent, present, setting))
    yield from _delegated(asked, present, setting)


def _delegated(asked: PlanRequest, present: Present, setting: Setting) -> Iterator[PlannedStep]:
    known = _audiences(asked, present)
    suggestions: dict[str, str] = {}

    def resolve(field: str, text: str) -> str:
        return known.get(text) or parse_identifier(text, field=field)

    for slug, its in (asked.document.delegations or {}).items():
        with at(Section.DELEGATIONS, slug):
            _require("role", its.role, Section.ROLES, asked, present.roles)
            _require("agent", its.agent, Section.AGENTS, asked, present.agents)
            step = delegations.step(slug, its, present, setting, resolve, renew=asked.renew)
            yield from _one(step and _telling_unregistered(step, known, setting, suggestions))


def _telling_unregistered(
    step: PlannedStep, known: Collection[str], setting: Setting, suggestions: dict[str, str]
) -> PlannedStep:
    """Add a note for each audience without a registered API.

    An audience without an API is permitted, but it can also be a mistyped slug. No API accepts tokens for a
    mistyped slug. `suggestions` is a cache: it maps an unknown audience of this document to a similar name.
    """
    named = [text for each in step.change.differences if each.field == "audiences" for text in each.added]
    unknown = [text for text in named if text not in known and text != setting.terms.default_audience]
    for text in unknown:
        if text not in suggestions and len(suggestions) < MOST_SUGGESTIONS:
            suggestions[text] = told_nearest(text, known, "")
    notes = [f"No API is registered for the audience {text}. {suggestions.get(text, '')}".strip() for text in unknown]
    return replace(step, change=replace(step.change, notes=(*step.change.notes, *notes)))


def _weighed(steps: Iterable[PlannedStep], asked: PlanRequest, present: Present) -> Iterator[PlannedStep]:
    """Add to each new delegation's work the cost of reading the other delegations of the same agent.

    Creating a delegation reads all delegations of the agent. With hundreds of delegations, each creation takes
    longer than the one before.
    """
    has = Counter({slug: present.delegated.get(held.id, 0) for slug, held in present.agents.items()})
    for step in steps:
        its = step.change
        if (its.section, its.verb) == (Section.DELEGATIONS, Verb.CREATE):
            agent = (asked.document.delegations or {})[its.slug].agent
            step = replace(step, besides=step.besides + has[agent] // READ_AS_FAST_AS_ONE_ACT)
            has[agent] += 1
        yield step


def _one(step: PlannedStep | None) -> Iterable[PlannedStep]:
    return () if step is None else (step,)


def _audiences(asked: PlanRequest, present: Present) -> Mapping[str, str]:
    """Return the audiences of all APIs after the change, by the API's slug and by the audience itself."""
    named = asked.document.apis or {}
    stay = {slug: api.identifier for slug, api in present.apis.items() if not asked.prunes(Section.APIS)}
    by_then = stay | {slug: shape.identifier for slug, shape in named.items()}
    return by_then | {identifier: identifier for identifier in by_then.values()}


def _require(field: str, slug: str, section: Section, asked: PlanRequest, present: Collection[str]) -> None:
    """Raise `Invalid` if `slug` refers to an entity that will not exist after the change."""
    named = asked.names(section) or ()
    if slug in named or (slug in present and not asked.prunes(section)):
        return
    if slug in present:
        raise Invalid(
            field,
            f"The {section.one} {slug} would be pruned, because the document does not list it under {section}.",
            f"Add it under {section}, or remove the entries that refer to it.",
        )
    raise Invalid(
        field,
        f"There is no {section.one} {quoted(slug)}, neither at the authority nor in the document.",
        told_nearest(slug, [*named, *present], f"Add it under {section}, or use the slug of an existing one."),
    )


def _removed(asked: PlanRequest, present: Present, setting: Setting) -> Iterator[PlannedStep]:
    gone = {section: _gone(asked, section, getattr(present, section)) for section in Section}
    live = {slug: its for slug, its in present.delegations.items() if state(its, present.now) not in ENDED_STATES}
    for slug in gone[Section.ISSUERS]:
        yield issuers.removal_step(present.issuers[slug])
    for slug in gone[Section.APIS]:
        yield apis.removal_step(present.apis[slug])
    for slug in gone[Section.ROLES]:
        yield roles.removal_step(present.roles[slug])
    for slug in gone[Section.AGENTS]:
        held = present.agents[slug]
        with_it = {name for name, its in live.items() if its.client_id == held.id} - {*gone[Section.DELEGATIONS]}
        yield agents.removal_step(held, present, setting, revoked=with_it)
    going = {present.agents[slug].id for slug in gone[Section.AGENTS]}
    for slug in gone[Section.DELEGATIONS]:
        its = live[slug]
        yield delegations.removal_step(its, present, setting, with_agent=its.client_id in going)


def _gone(asked: PlanRequest, section: Section, present: Collection[str]) -> list[str]:
    named = asked.names(section) or ()
    return [slug for slug in present if slug not in named] if asked.prunes(section) else []


def _telling_renamed(steps: Collection[PlannedStep]) -> Iterator[PlannedStep]:
    """Add a note where the document removes an entity and creates a similar one under another slug.

    The note tells the author that a new slug in a document does not rename the entity.
    """
    made = {_alike(step.change): step.change.slug for step in steps if step.change.verb is Verb.CREATE}
    for step in steps:
        twin = made.get(_alike(step.change)) if step.change.verb is Verb.REMOVE else None
        yield step if twin is None else replace(step, change=_renamed(step.change, twin))


def _alike(change: Change) -> tuple[Section, object]:
    """Return a key that is equal for a removed entity and a similar created entity.

    The key is the section and the name; for a delegation without a name, its agent and role.
    """
    its = {each.field: each.before or each.after for each in change.differences}
    return change.section, its.get("name") or (its.get("agent"), its.get("role"))


def _renamed(change: Change, twin: str) -> Change:
    told = (
        f"{twin} has the same content, but is a new {change.section.one} and not a new slug of this "
        f"{change.section.one}"
    )
    if change.section is Section.AGENTS:
        told += (
            f". The new agent gets another client_id. To keep the client_id: authsec agents edit {change.slug} "
            f"--slug {twin}"
        )
    if change.section is Section.DELEGATIONS:
        told += f". To keep this delegation: authsec delegations edit {change.slug} --slug {twin}"
    return replace(change, notes=(*change.notes, told))


def _notes(asked: PlanRequest, present: Present, changed: Collection[tuple[Section, str]]) -> Iterator[Note]:
    document = asked.document
    for slug, trusted_issuer in (document.issuers or {}).items():
        if slug in present.issuers:
            yield from _some(issuers.note(present.issuers[slug], trusted_issuer))
    for slug, agent in (document.agents or {}).items():
        yield from agents.notes(slug, agent, present)
    for slug, delegation in (document.delegations or {}).items():
        if (Section.DELEGATIONS, slug) not in changed:
            yield from _some(delegations.note(slug, delegation, present))


def _some(note: Note | None) -> Iterable[Note]:
    return () if note is None else (note,)


def _slugs(steps: Iterable[PlannedStep]) -> Iterator[tuple[Section, str]]:
    return ((step.change.section, step.change.slug) for step in steps)


def planned(tx: Tx, act: Act, asked: PlanRequest, setting: Setting) -> Plan:
    """Read the current configuration in this transaction and plan the request. Raises `Invalid`."""
    return plan(asked, present(tx, act, scope_of(asked)), setting)


def apply(tx: Tx, act: Act, found: Plan) -> None:
    """Make all changes of the plan. The authority version must be the version that the plan was made for.

    Each change requires the same role as a single change, and is recorded in the same way.
    """
    parts = [(turn, step.change, do) for step in found.steps for turn, do in step.parts]
    # In one turn, edits run before creations: an edit can free a slug or a key that a new entity needs.
    for _, change, do in sorted(parts, key=lambda part: (part[0], part[1].verb is Verb.CREATE)):
        with at(change.section, change.slug):
            do(tx, act)
