"""The admin API's operations, each declared once beside its handler.

Routes (`answering`) and the OpenAPI document (`openapi`) are made of what is declared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from starlette.requests import Request

from authsec_server.db import Tx
from authsec_server.principal import Act, Role
from authsec_server.revisions import Revised, require_current, require_same
from authsec_server.web.bodies import MAX_BODY, Body, query_value
from authsec_server.web.etags import Tag
from authsec_server.web.rehearsal import Rehearsal
from authsec_server.web.site import Site

T = TypeVar("T")
B = TypeVar("B", bound=Body)
A = TypeVar("A")

API = "/authsec/api/v1"
Method = Literal["GET", "POST", "PATCH", "DELETE"]


class NoBody(Body):
    """Nothing, or an empty object: what is sent where nothing is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter, given at most once; `schema` is its JSON Schema."""

    name: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B]):
    """An operation that is called: by whom, with what, and the units of work that it may open.

    A rehearsal is a call like any other: what `change` does in it is undone before it returns.
    """

    request: Request
    site: Site
    act: Act
    body: B
    expected: Tag | None = None
    rehearsal: Rehearsal | None = None

    def of(self, name: str) -> str:
        """What the path says there."""
        value: str = self.request.path_params[name]
        return value

    def query(self, name: str) -> str | None:
        """The query parameter, if it is given."""
        return query_value(self.request, name)

    def matched(self, thing: Revised, what: str) -> int:
        """The revision that the caller means, which is the thing's own. Raises `Outdated`; `what` as "This role"."""
        if self.expected is not None:
            require_same(thing, self.expected.is_of(thing.id), what)
            require_current(thing, self.expected.revision, what)
        return thing.revision

    async def read(self, work: Callable[[Tx, Act], T]) -> T:
        """`work` on one snapshot."""
        return await self.site.read(lambda tx: work(tx, self.act))

    async def change(self, work: Callable[[Tx, Act], T]) -> T:
        """`work` under the authority lock, if the caller still stands; in a rehearsal, undone again."""
        if self.rehearsal is None:
            return await self.site.change(self.act, work)
        result, foreseen = await self.site.rehearse(self.act, work)
        self.rehearsal.foreseen.append(foreseen)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[B, A]):
    """What can be asked of an address, and all that it may answer.

    `least` is checked before anything is read; `body`, of `max_body` bytes, is read before the handler is called. None
    takes none: `{"dry_run": true}` in one must not be passed over. `answer` is the type of what the handler returns,
    answered with `status`. With `revised` the answer has an ETag, and PATCH wants it back as If-Match.
    `location` is the new thing's address, a format of the answer. `secrets` are the answer's members that are shown
    once, and never in a rehearsal; `private` is what nobody on the way is to keep though it has none. `refusals` are
    statuses that it may answer beside those that its form implies. A `question` changes nothing, so that there is no
    rehearsal of it.
    """

    method: Method
    path: str
    operation_id: str
    summary: str
    handler: Callable[[Call[B]], Awaitable[A]]
    answer: type[A]
    body: type[B] | None = None
    max_body: int = MAX_BODY
    least: Role = Role.VIEWER
    query: tuple[Parameter, ...] = ()
    status: int = 200
    revised: bool = False
    location: str = ""
    secrets: tuple[str, ...] = ()
    private: bool = False
    refusals: tuple[int, ...] = ()
    question: bool = False
    description: str = ""

    @property
    def changes(self) -> bool:
        """Whether there is a rehearsal of it."""
        return self.method != "GET" and not self.question

    @property
    def wants_revision(self) -> bool:
        """Whether it is refused without If-Match: nobody's edit is undone unseen."""
        return self.method == "PATCH" and self.revised

    @property
    def may_want_revision(self) -> bool:
        """Whether If-Match means something to it."""
        return self.revised and self.method in {"PATCH", "DELETE"}


AnyOperation = Operation[Any, Any]
