"""Ask the questions of readers, and compare each answer with the proved events.

The other checks prove the rows of the tables. But the database finds rows by its indexes, operators, functions,
partitions and catalogs. The attack: raw SQL forges one of these. Then a list lacks an event although its row is still
in the table. So this check calls the functions that the server calls, with the settings of a server's session.

Long lists and many values are sampled at random, so that nobody can predict which answers are compared.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from secrets import SystemRandom
from typing import Final

from sqlalchemy.exc import DatabaseError, DBAPIError

from authsec_server.audit import export, pages
from authsec_server.audit import service as audit
from authsec_server.audit.event_shape import is_jti, is_request_id
from authsec_server.audit.filters import EVERYTHING, EventFilter
from authsec_server.audit.live import RECENT, Tail
from authsec_server.audit.model import EventKind, Recorded
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.proved_events import ProvedEvents, ShownEvent
from authsec_server.audit.sealing.reader_questions import ListQuestion, dimensions, list_command, shown
from authsec_server.audit.sealing.reader_sums import sum_questions
from authsec_server.audit.sealing.scan import as_servers, plan_as_servers
from authsec_server.audit.sealing.scratch import Scratch
from authsec_server.audit.sealing.store import allow_long_statements
from authsec_server.audit.unreadable_rows import numbers_fitting
from authsec_server.db import Tx
from authsec_server.db.database import Access
from authsec_server.db.postgresql_errors import sqlstate
from authsec_server.db.sqlite_reading import is_late
from authsec_server.failures import Failure
from authsec_server.principal import THE_SERVER, Act

MOST: Final = 20  # findings; after these, no more questions are asked
_LEAST: Final = 2000  # events that are always read for each dimension
_SHARE: Final = 50  # beyond `_LEAST`, one in 50 events is read for each dimension
_QUESTION: Final = 20  # the fixed cost of a page, in events
_SEARCH: Final = pages.CANDIDATES // 10  # the cost of a page with a long search, in events
_STARTS: Final = 1000  # random events at which pages of long lists begin
_SINGLE: Final = 100  # events that are looked up one by one
_WINDOWS: Final = 4  # pages of a long list, besides the first and the last page
_SHORT: Final = 1_000_000  # events that are read before the idle timeout of a server's session
_PAGE: Final = audit.MAX_PAGE
_RANDOM: Final = SystemRandom()
_CANCELED: Final = "57014"  # SQLSTATE query_canceled: a timeout
_OUTAGES: Final = frozenset({"53", "57", "58"})  # SQLSTATE classes: the server cannot answer


class ReaderCheck:
    """The comparison of readers' answers with the proved events, in the snapshot of `tx`.

    `known_from` is the end of the months with dropped events. Sums before that time are not compared.
    """

    def __init__(self, tx: Tx, scratch: Scratch, *, known_from: datetime | None, now: datetime | None) -> None:
        self._tx = Tx(tx.connection, Access.READ, tx.version)  # `counts` accepts no other
        self._proved = ProvedEvents(scratch)
        self._size = scratch.size()
        self._is_long = self._proved.count() > _SHORT
        self._known_from = known_from
        self._now = now or datetime.now(UTC)
        self._found: list[str] = []
        self._asked = ""  # the current question
        self._is_patient = False  # once a question took longer than a server allows
        self._left = 0  # events that may still be read for lists by the current dimension

    def findings(self, *, counts: bool) -> list[str]:
        """Ask all questions, and return a sentence for each wrong answer. Without `counts`, no sum is compared.

        Raises the errors of the database driver if the database cannot answer at all.
        """
        plan_as_servers(self._tx.connection)
        with nullcontext() if self._is_long else as_servers(self._tx.connection):
            for ask in (self._export, self._lists, self._single_events, self._followers, self._watchers):
                self._ask(ask)
            if counts:
                self._ask(self._sums)
        return self._found

    def _ask(self, ask: Callable[[], None]) -> None:
        """Ask questions. An error is reported as a wrong answer."""
        if len(self._found) >= MOST:
            return
        before, savepoint = len(self._found), self._tx.connection.begin_nested()
        try:
            ask()
        except sqlite3.Error:  # of the scratch database
            raise
        except Exception as error:
            if isinstance(error, DatabaseError) and is_late(error):  # the read had no end, so no answer was wrong
                raise
            if isinstance(error, DBAPIError) and _is_outage(error):
                if self._is_patient or sqlstate(error) != _CANCELED:
                    raise
                savepoint.rollback()
                del self._found[before:]
                self._is_patient = True  # a late answer is still compared, although a reader would get none
                allow_long_statements(self._tx.connection)
                self._ask(ask)
                return
            savepoint.rollback()
            why = error.message if isinstance(error, Failure) else f"{type(error).__name__}."
            self._found.append(f"`{self._asked}` ends with an error: {why}")
        else:
            savepoint.commit()

    def _as_server(self) -> AbstractContextManager[None]:
        """Within this context, the session has the settings of a server's session.

        For a short log, all questions are asked within one such context. For a long log, PostgreSQL would end the
        session while the check reads the proved events.
        """
        return as_servers(self._tx.connection) if self._is_long and not self._is_patient else nullcontext()

    def _export(self) -> None:
        """Read all events, oldest first."""
        self._asked = list_command(EVERYTHING, newest_first=False)
        after: int | None = 0
        while after is not None:
            after = self._export_page(after)

    def _export_page(self, after: int) -> int | None:
        with self._as_server():
            page = pages.following(self._tx.connection, EVERYTHING, after=after, limit=export.BATCH)
        end = page.next
        self._compare_list(EVERYTHING, page.items, newest_first=False, above=after, below=end and end + 1)
        return self._onward(end, end is None or end > after)

    def _lists(self) -> None:
        """Read lists for each dimension, for example for clients or months."""
        number = self._proved.count()
        starts = [event["number"] for event in self._proved.sample(_STARTS)]
        for questions in ([ListQuestion(EVERYTHING, number)], *dimensions(self._proved)):
            self._left = max(_LEAST, number // _SHARE)
            for question in questions:
                if self._left <= 0 or len(self._found) >= MOST:
                    break
                self._list(question, starts)

    def _list(self, question: ListQuestion, starts: Sequence[int]) -> None:
        """Read the list, or some pages of it if it is long."""
        wanted = question.wanted
        if question.number is not None and question.number <= self._left:
            newest_first = _RANDOM.choice((True, False))
            start = self._page(wanted, newest_first=newest_first)
            while start is not None and self._left > 0:
                start = self._page(wanted, newest_first=newest_first, start=start)
            return
        self._page(wanted, newest_first=True)
        self._page(wanted, newest_first=False)
        windows = 0 if question.number is None else min(_WINDOWS, len(starts))
        for start in _RANDOM.sample(starts, k=windows):
            self._page(wanted, newest_first=_RANDOM.choice((True, False)), start=start)

    def _page(self, wanted: EventFilter, *, newest_first: bool, start: int | None = None) -> int | None:
        """Compare one page of the list. Return the start of the next page."""
        self._asked = list_command(wanted, newest_first=newest_first)
        if newest_first:
            with self._as_server():
                page = audit.page(self._tx, THE_SERVER, wanted, before=start, limit=_PAGE)
            above, below = None if page.next is None else page.next - 1, start
            onward = page.next is None or start is None or page.next < start
        else:
            with self._as_server():
                page = audit.page(self._tx, THE_SERVER, wanted, after=start or 0, limit=_PAGE)
            above, below = start or 0, None if page.next is None else page.next + 1
            onward = page.next is None or page.next > (start or 0)
        searched = page.next is not None and len(page.items) < _PAGE  # through many events that do not match
        self._left -= _QUESTION + (_SEARCH if searched else len(page.items))
        self._compare_list(wanted, page.items, newest_first=newest_first, above=above, below=below)
        return self._onward(page.next, onward)

    def _onward(self, following: int | None, onward: bool) -> int | None:
        """Return the start of the next page; None if the list ends or if an answer was wrong."""
        if not onward:
            self._find(f"goes back to event {following}")
        return following if onward and len(self._found) < MOST else None

    def _compare_list(
        self,
        wanted: EventFilter,
        items: Sequence[Recorded],
        *,
        newest_first: bool,
        above: int | None,
        below: int | None,
    ) -> None:
        expected = self._proved.listed(
            wanted, above=above, below=below, newest_first=newest_first, limit=len(items) + MOST
        )
        self._compare(items, expected)

    def _single_events(self) -> None:
        """Look up single events: by number, by token and by request.

        The same question is asked only once. The attack: raw SQL inserts very many events of one request.
        """
        texts, requests, tokens = set[str](), set[str](), set[str]()  # that were asked for
        act = Act(principal=THE_SERVER, now=self._now, request_id="", address="", token_bytes=bytes)
        for each in self._proved.sample(_SINGLE):
            number, jti, request_id = each["number"], each["jti"], each["request_id"]
            self._asked = f"audit show {number}"
            its = self._proved.listed(EVERYTHING, above=number - 1, below=number + 1, newest_first=True, limit=1)
            with self._as_server():
                event = audit.event(self._tx, THE_SERVER, number)
            self._compare([event], its)
            for text in {jti, request_id} - texts - {""}:
                texts.add(text)
                self._asked = f"audit show {shown(text)}"
                with self._as_server():
                    found = audit.search(self._tx, act, text, limit=_PAGE)
                self._compare(found, self._searched(text))
            if request_id and request_id not in requests:
                requests.add(request_id)
                self._asked = f"audit show {shown(request_id)}"
                expected = self._first_sealed(EventFilter(request_id=request_id))
                with self._as_server():
                    found = audit.of_request(self._tx, THE_SERVER, request_id)
                self._compare(found, expected)
            if is_jti(jti) and jti not in tokens:
                tokens.add(jti)
                self._asked = f"the history of the token {shown(jti)}"
                issued = EventFilter(jti=jti, kinds=frozenset({EventKind.TOKEN_ISSUED}))
                with self._as_server():
                    token = audit.token_issued(self._tx, jti)
                expected = self._proved.in_order_of_sealing(issued, 1)
                self._compare([token] if token else [], expected, seals=False)

    def _searched(self, text: str) -> list[ShownEvent]:
        if is_request_id(text):
            return self._first_sealed(EventFilter(request_id=text))
        return self._first_sealed(EventFilter(jti=text)) if is_jti(text) else []

    def _first_sealed(self, wanted: EventFilter) -> list[ShownEvent]:
        return self._fitting(self._proved.in_order_of_sealing(wanted, _PAGE))

    def _fitting(self, expected: list[ShownEvent]) -> list[ShownEvent]:
        """Return the first of these events: as many as a reader loads into memory together."""
        return expected[: len(numbers_fitting(self._tx.connection, [each.number for each in expected]))]

    def _followers(self) -> None:
        """Read the log in the order of sealing."""
        self._asked = "audit follow"
        budget = max(_LEAST, self._proved.count() // _SHARE)
        last = self._size - 1
        starts = range(-1, last, _PAGE)
        for start in starts if self._size <= budget else _RANDOM.sample(starts, k=budget // _PAGE):
            self._follow(start, min(start + _PAGE, last))

    def _follow(self, after: int, last: int) -> None:
        """Read the events after the place `after` up to the place `last`."""
        while after < last and len(self._found) < MOST:
            with self._as_server():
                found = sealing.following(self._tx, THE_SERVER, after=after, limit=last - after)
            there = self._proved.sealed_after(after, last - after)
            expected = self._fitting(there)
            self._compare(found.events, expected)
            start, after = after, last
            if len(expected) < len(there) and (place := there[len(expected)].place) is not None:
                after = place - 1
            if found.last != after:
                self._find(f"skips events after the place {start}")

    def _watchers(self) -> None:
        """Read the newest events, as the live audit log does."""
        self._asked = "the live audit log"
        with self._as_server():
            recent, begin, highest = Tail(self._tx, self._now).read_recent(self._tx)
        expected = [each for each in self._proved.newest(RECENT) if each.number >= begin]
        self._compare(recent, expected, seals=False)
        if highest != max((each.number for each in expected), default=0):
            self._find(f"ends at event {highest}")

    def _sums(self) -> None:
        """Compare the numbers of dashboards and charts."""
        for question in sum_questions(self._tx, self._proved, self._known_from):
            if len(self._found) >= MOST:
                return
            self._asked = question.name
            with self._as_server():
                answer = question.ask()
            if answer != question.expected:
                self._found.append(f"{question.name} differs from the events.")

    def _compare(self, items: Sequence[Recorded], expected: Sequence[ShownEvent], *, seals: bool = True) -> None:
        """Compare the events of one answer, in their order."""
        if not (different := list(_differences(items, expected, seals=seals))):
            return
        left_out = self._proved.not_unique({*(each.id for each in items), *(each.number for each in expected)})
        if left_out:
            items = [each for each in items if each.id not in left_out]
            expected = [each for each in expected if each.number not in left_out]
            different = list(_differences(items, expected, seals=seals))
        for what in different:
            self._find(what)

    def _find(self, what: str) -> None:
        if len(self._found) < MOST:
            self._found.append(f"`{self._asked}` {what}.")


def _differences(found: Sequence[Recorded], wanted: Sequence[ShownEvent], *, seals: bool) -> Iterator[str]:
    """Yield the first difference for each event that the answer shows wrongly."""
    expected = {each.number: each for each in wanted}
    for number in sorted(expected.keys() - {each.id for each in found})[:MOST]:
        yield f"lacks event {number}"
    for number, times in Counter(each.id for each in found).items():
        if times > 1:
            yield f"shows event {number} {times} times"
    for each in found:
        if (its := expected.get(each.id)) is None:
            yield f"shows event {each.id}, which does not belong there"
        elif each.leaf != its.leaf:
            yield f"shows event {each.id} with other values"
        elif seals and (each.seal and each.seal.place) != its.place:
            yield f"shows event {each.id} with another seal"
        elif each.as_sealed is False:
            yield f"shows event {each.id} as changed after sealing"
    numbers, order = [each.id for each in found], [each.number for each in wanted]
    if numbers != order and sorted(numbers) == sorted(order):
        yield "shows the events in another order"


def _is_outage(error: DBAPIError) -> bool:
    """Whether the database could not answer at all."""
    return error.connection_invalidated or sqlstate(error)[:2] in _OUTAGES
