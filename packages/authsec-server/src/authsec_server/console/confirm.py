"""Changes that ask for confirmation: a page shows the impact, and its button makes the change.

A page can be older than the change, for example in a second window. The page then shows the present state without a
button. An old button makes the change again, and the audit log records that. The attack: raw SQL marks a thing as
disabled until an operator has disabled the thing, and removes the mark.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from starlette.responses import Response
from starlette.routing import Route

from authsec_server.console.formatting import utc
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Act, Role

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The content of the confirmation page before a change.

    `name` fills the heading, and `heading` replaces the heading if there is nothing to change. The last path of `trail`
    is the link back. `ids` fills the ids in the URL of the form: a slug can belong to another object when the form is
    sent. If `possible` is false, the page has no button. If `needless` is true, the change has no effect now, and the
    button is plain. `shown` is the context of the template.
    """

    trail: Sequence[tuple[str, str]]
    name: str = ""
    heading: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    possible: bool = True
    needless: bool = False
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation(Generic[T]):
    """A change that has a confirmation page. `template` extends `confirm.html`.

    `{}` in `heading` becomes the question's name. `look` reads the impact, and `change` makes the change.
    `after` returns the response from the result of `change`. If `change` raises `Invalid` or `Conflict`, the
    page is shown again. `already` returns a sentence if the thing already has the state after the change. If `repeats`
    is false, the change is not made again.
    """

    path: str
    template: str
    heading: str
    button: str
    look: Callable[[Tx, PageRequest], Question]
    change: Callable[[PageRequest], Awaitable[T]]
    after: Callable[[PageRequest, T], Response]
    least: Role = Role.OPERATOR
    danger: bool = True
    repeats: bool = True
    already: Callable[[Tx, PageRequest], str] = lambda _tx, _visit: ""

    @property
    def verb(self) -> str:
        """Return the last segment of the path, such as `disable`."""
        return self.path.rpartition("/")[2]

    def route(self, console: Console) -> Route:
        """Return the route that shows the page (GET) and makes the change (POST)."""
        return console.page(self.path, self._ask, post=self._do, least=self.least)

    async def _ask(self, visit: PageRequest, problem: Failure | None = None) -> Response:
        already, question = await visit.read(lambda tx: (self.already(tx, visit), self.look(tx, visit)))
        return visit.render(
            self.template,
            title=question.heading or self.heading.format(question.name),
            made_before=already,
            problem=problem,
            confirmation=self,
            question=question,
            action="/console" + self.path.format_map({**visit.request.path_params, **question.ids}),
            **question.shown,
        )

    async def _do(self, visit: PageRequest) -> Response:
        is_repeat = bool(await visit.read(lambda tx: self.already(tx, visit)))
        if is_repeat and not self.repeats:
            return visit.redirect(visit.path, done="nothing_changed")
        try:
            changed = await self.change(visit)
        except (Invalid, Conflict) as failure:
            return await self._ask(visit, failure)
        return visit.redirect(visit.path, done="nothing_changed") if is_repeat else self.after(visit, changed)


def already_is(done: str, changed_at: datetime | None = None, changed_by: str = "") -> str:
    """Return the sentence for a thing that is already in this state, such as `The client is already disabled`."""
    at = f", at {utc(changed_at)}" if changed_at else ""
    by = f" by {changed_by}" if changed_by else ""
    return f"{done}{at}{by}."


def once(work: Callable[[Tx, Act, PageRequest], T]) -> Callable[[PageRequest], Awaitable[T]]:
    """Return a function for `Confirmation.change` that runs `work` in one transaction."""

    async def change(visit: PageRequest) -> T:
        return await visit.change(lambda tx, act: work(tx, act, visit))

    return change


def redirect_to(path: str, *, done: str) -> Callable[[PageRequest, object], Response]:
    """Return a function for `Confirmation.after` that redirects to the path and shows a notice.

    A name in braces in the path, such as `{api}`, is a parameter of the request's path.
    """
    return lambda visit, _: visit.redirect(path.format_map(visit.request.path_params), done=done)
