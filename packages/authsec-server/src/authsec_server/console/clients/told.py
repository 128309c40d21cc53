"""What a form says of selectors: below each row, and of all of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.outlook import Foresight, foresee
from authsec_server.clients.proof_status import SelectorStatus
from authsec_server.clients.selectors.parsing import RowCheck, RowState, check_selectors
from authsec_server.console.clients.typed_proof import Rows
from authsec_server.sources.model import Provenance, TrustSource


class Tone(StrEnum):
    """How it is said; each is a class of the style sheet."""

    PLAIN = "hint"
    GOOD = "hint good-text"
    WARN = "hint warn-text"
    WRONG = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What stands below a row. `meanwhile` stands there instead while its key is still being typed: nobody is blamed
    for what is only unfinished.
    """

    tone: Tone
    text: str
    meanwhile: str

    @property
    def wrong(self) -> bool:
        """Whether the row cannot stay so."""
        return self.tone is Tone.WRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What is said of the rows, in the order typed, and what becomes of them as a proof."""

    foresight: Foresight
    rows: tuple[Told, ...]

    @property
    def first_wrong(self) -> int:
        """The row to go to; -1 where no row is wrong by itself."""
        return next((index for index, told in enumerate(self.rows) if told.wrong), -1)


def speak(
    platform: Platform, rows: Rows, registered: list[TrustSource], *, named: str, trust_domain: str, judged: bool
) -> Spoken:
    """What to say of these rows. `judged`: they were sent as they are, so that what is unfinished is wrong."""
    check = check_selectors(platform, rows)
    right = [Selector(key=row.key, value=row.value) for row in check.rows if row.state is RowState.OK]
    foresight = foresee(platform, right, registered, named=named, trust_domain=trust_domain)
    statuses = {status.selector: status for status in foresight.selectors}
    told = (_told(row, statuses.get(Selector(key=row.key, value=row.value)), judged) for row in check.rows)
    return Spoken(foresight=foresight, rows=tuple(told))


def _told(row: RowCheck, status: SelectorStatus | None, judged: bool) -> Told:
    meanwhile = f"{row.identifies}: {row.value_is}" if row.identifies else ""
    if row.state is RowState.WRONG or (judged and row.state is RowState.INCOMPLETE):
        # The nearest key says it; all keys are listed in the form.
        problem = row.problem if row.nearest else f"{row.problem} {row.remedy}".strip()
        return Told(tone=Tone.WRONG, text=problem, meanwhile=meanwhile)
    if row.state is not RowState.OK:
        return Told(tone=Tone.PLAIN, text=meanwhile, meanwhile=meanwhile)
    if status is None:
        return Told(tone=Tone.PLAIN, text=row.identifies, meanwhile=row.identifies)
    tone, mark = _verdict(status)
    text = f"{mark}{row.identifies} · {status.shown}"
    return Told(tone=tone, text=text, meanwhile=text)


def _verdict(status: SelectorStatus) -> tuple[Tone, str]:
    if status.provenance is None:
        return Tone.WARN, ""
    return (Tone.WRONG, "✗ ") if status.provenance is Provenance.NEVER else (Tone.GOOD, "✓ ")
