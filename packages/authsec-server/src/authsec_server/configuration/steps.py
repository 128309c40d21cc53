"""A change that can be carried out: what it is, and the verbs that do it, each in its turn."""

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

_IN_A_DOCUMENT = {"client": "agent"}  # members that a document calls otherwise


class PlanTurn(IntEnum):
    """The order of what is done. What goes makes room first, as for a key; what others rest on goes last."""

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
    """What the server's settings say. `may_look_up`: there is a folder of credentials to ask clusters with."""

    terms: Terms
    trust_domain: str
    may_look_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A change with what does it. `besides`: how many acts or look-ups one of the parts brings with it."""

    change: Change
    parts: tuple[tuple[PlanTurn, Do], ...]
    besides: int = 0

    @property
    def work(self) -> int:
        """How much there is to do, in acts: each costs about the same, whatever it is."""
        return max(1, len(self.parts)) + self.besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All steps, in the order of the document, and what is to be known beside them."""

    steps: tuple[PlannedStep, ...]
    notes: tuple[Note, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is done, thing by thing."""
        return tuple(step.change for step in self.steps)

    @property
    def work(self) -> int:
        """How much there is to do for all of it."""
        return sum(step.work for step in self.steps)


def making(
    section: Section, slug: str, before: Facts | None, after: Facts, *, turn: PlanTurn, do: Do
) -> PlannedStep | None:
    """What one act makes or changes; None where it is so already. `before` is None for what is new."""
    differing = differences(before, after)
    if not differing:
        return None
    verb = Verb.CREATE if before is None else Verb.EDIT
    return PlannedStep(change=Change(verb=verb, section=section, slug=slug, differences=differing), parts=((turn, do),))


def removing(section: Section, slug: str, before: Facts, *, turn: PlanTurn, do: Do) -> PlannedStep:
    """What one act takes away."""
    change = Change(verb=Verb.REMOVE, section=section, slug=slug, differences=differences(before, {}))
    return PlannedStep(change=change, parts=((turn, do),))


@contextmanager
def at(section: Section, slug: str, *below: object) -> Iterator[None]:
    """Whatever a rule refuses in here is refused of that place in the document."""

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
