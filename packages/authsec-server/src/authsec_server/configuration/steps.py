"""Planned steps: a change, and the functions that make the change, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from authsec_server.configuration.model import Change, Facts, Note, Section, Verb, differences
from authsec_server.db import Tx
from authsec_server.delegations.model import Terms
from authsec_server.failures import Conflict, Invalid, NotFound, RoleTooSmall
from authsec_server.principal import Act

Do = Callable[[Tx, Act], object]

_IN_A_DOCUMENT = {"client": "agent"}  # member of the admin API: its name in a document


class PlanTurn(IntEnum):
    """The order in which the parts of a plan run.

    Most removals run first. For example, a removal can free a key for another agent. Removals of roles and
    trusted issuers run last, because other entities refer to them.
    """

    REVOKE_DELEGATIONS = 1
    DELETE_AGENTS = 2
    DELETE_APIS = 3
    ISSUERS = 4
    APIS = 5
    ROLES = 6
    TAKE_PROOFS = 7
    AGENTS = 8
    DELEGATIONS = 9
    DELETE_ROLES = 10
    REMOVE_ISSUERS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The server settings that planning needs.

    `may_look_up` is true if the setting `credentials_dir` names a folder.
    """

    terms: Terms
    trust_domain: str
    may_look_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A change and the functions that make the change.

    `parts` are the functions. `besides` is the number of further changes or look-ups that they cause.
    """

    change: Change
    parts: tuple[tuple[PlanTurn, Do], ...]
    besides: int = 0

    @property
    def work(self) -> int:
        """Return the cost of this step, as a number of single changes. All single changes cost about the same."""
        return max(1, len(self.parts)) + self.besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All steps, in the order of the document, and the notes."""

    steps: tuple[PlannedStep, ...]
    notes: tuple[Note, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return the change of each step."""
        return tuple(step.change for step in self.steps)

    @property
    def work(self) -> int:
        """Return the cost of all steps, as a number of single changes."""
        return sum(step.work for step in self.steps)


def making(
    section: Section,
    slug: str,
    before: Facts | None,
    after: Facts,
    *,
    turn: PlanTurn,
    do: Do,
    switch: Do | None = None,
    besides: int = 0,
) -> PlannedStep | None:
    """Plan the step that creates or edits an entity; None if nothing differs. `before` is None for a new entity.

    `do` creates or edits the entity. `switch` then enables or disables the entity, unless `switch` is None.
    """
    differing = differences(before, after)
    if not differing:
        return None
    change = Change(
        verb=Verb.CREATE if before is None else Verb.EDIT, section=section, slug=slug, differences=differing
    )
    does = [do] if before is None or any(each.field != "enabled" for each in differing) else []
    does += [switch] if switch else []
    return PlannedStep(change=change, parts=tuple((turn, each) for each in does), besides=besides)


def removing(section: Section, slug: str, before: Facts, *, turn: PlanTurn, do: Do) -> PlannedStep:
    """Plan the step that removes an entity."""
    change = Change(verb=Verb.REMOVE, section=section, slug=slug, differences=differences(before, {}))
    return PlannedStep(change=change, parts=((turn, do),))


@contextmanager
def at(section: Section, slug: str, *below: object) -> Iterator[None]:
    """Add the path in the document to errors that are raised in this block.

    `NotFound` becomes `Invalid`.
    """

    def place(field: str) -> str:
        named = _IN_A_DOCUMENT.get(field, field)
        return ".".join(map(str, [section, slug, *below, *([named] if named else [])]))

    about = f"{section.one} {slug}"
    try:
        yield
    except Invalid as failure:
        raise Invalid(place(failure.field), f"{about}: {failure.message}", failure.remedy) from None
    except Conflict as failure:
        raise Conflict(f"{about}: {failure.message}", failure.remedy, field=place(failure.field)) from None
    except RoleTooSmall as failure:
        raise RoleTooSmall(f"{about}: {failure.message}", failure.remedy) from None
    except NotFound as failure:
        raise Invalid(place(""), f"{about}: {failure.message}", failure.remedy) from None
