"""The operations of the admin API. Each operation is declared where its handler is defined.

The routes of the operations authenticate and authorise the callers.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast, get_args, get_type_hints

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import TypedDict, Unpack  # required by pydantic before Python 3.12

from authsec_server.db import Tx, rehearsing
from authsec_server.failures import Invalid, NotPermitted, OutcomeUnknown, Unavailable
from authsec_server.principal import Act, Role
from authsec_server.revisions import Revised, require_current, require_same
from authsec_server.web import dry_run, etags
from authsec_server.web.bodies import MAX_BODY, Body, LargeBodies, query_value
from authsec_server.web.dry_run import RequestedDryRun
from authsec_server.web.etags import Tag, etag_of
from authsec_server.web.unit_of_work import UnitOfWork

T = TypeVar("T")
B = TypeVar("B", bound=Body)
A = TypeVar("A")

API = "/authsec/api/v1"
Method = Literal["GET", "POST", "PATCH", "DELETE"]


class NoBody(Body):
    """The body type of operations without a body. A request may send no body or an empty object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter that a request may have at most once. `schema` is the JSON Schema of the value."""

    name: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B]):
    """One call of an operation: the principal, the input and the access to the database.

    In a dry run, `dry_run` is set. The method `change` then makes the change, collects the impact and undoes
    the change.
    """

    request: Request
    site: UnitOfWork
    act: Act
    body: B
    expected: Tag | None = None
    dry_run: RequestedDryRun | None = None

    def of(self, name: str) -> str:
        """Return the path parameter of this name."""
        value: str = self.request.path_params[name]
        return value

    def query(self, name: str) -> str | None:
        """Return the query parameter, or None if the request does not have it."""
        return query_value(self.request, name)

    def matched(self, thing: Revised, what: str) -> int:
        """Return the revision of the object. Raises `Outdated` if the object does not match If-Match.

        `what` names the object in the message, for example "This role".
        """
        if self.expected is not None:
            require_same(thing, self.expected.is_of(thing.id), what)
            require_current(thing, self.expected.revision, what)
        return thing.revision

    async def read(self, work: Callable[[Tx, Act], T]) -> T:
        """Run the function `work` on one snapshot of the database.

        Raises `OutcomeUnknown` instead of `Unavailable` after a change of this call: the change is committed.
        """
        try:
            return await self.site.read(lambda tx: work(tx, self.act))
        except Unavailable as failure:
            if not getattr(self.request.state, "has_changed", False):
                raise
            raise OutcomeUnknown(failure.message, fault=failure.fault) from failure

    async def change(self, work: Callable[[Tx, Act], T]) -> T:
        """Run the function `work` under the authority lock. In a dry run, undo the changes of `work`.

        Raises `Unauthenticated` if the principal is not valid any more.
        """
        if self.dry_run is None:
            done = await self.site.change(self.act, work)
            self.request.state.has_changed = True
            return done
        result, foreseen = await self.site.rehearse(self.act, work)
        self.dry_run.foreseen.append(foreseen)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[B, A]):
    """An operation of the admin API: one method of one path, and all its possible answers.

    - `least`: the lowest role that may call the operation. The server checks the role before it reads the
      request.
    - `body`: the type of the body, which has at most `max_body` bytes. The server reads the body before it calls
      the handler. With `NoBody`, the server refuses all members: it must not ignore `{"dry_run": true}` in a
      body.
    - `answer`: the type of the handler's result. `status` is the status of the response.
    - `revised`: the response has an ETag, and PATCH requires this ETag as If-Match.
    - `location`: a format string for the address of the new object. The members of the answer fill in the string.
    - `secrets`: members of the answer that are shown only once, and are null in a dry run.
    - `private`: no cache may store the response, although the response has no secrets.
    - `refusals`: more error statuses. The other fields already imply some statuses, for example 412.
    - `question`: the operation changes nothing although its method is not GET, so it has no dry run.
    """

    method: Method
    path: str
    operation_id: str
    summary: str
    description: str
    handler: Callable[[Call[B]], Awaitable[A]]
    body: type[B]
    answer: type[A]
    least: Role
    max_body: int = MAX_BODY
    query: tuple[Parameter, ...] = ()
    status: int = 200
    revised: bool = False
    location: str = ""
    secrets: tuple[str, ...] = ()
    private: bool = False
    refusals: tuple[int, ...] = ()
    question: bool = False

    @property
    def has_body(self) -> bool:
        """Whether the body of a request may have members."""
        return self.body is not NoBody

    @property
    def changes(self) -> bool:
        """Whether the operation can make changes. Each such operation has a dry run."""
        return self.method != "GET" and not self.question

    @property
    def wants_revision(self) -> bool:
        """Whether the operation requires If-Match.

        Stops lost updates: an edit cannot overwrite a change that the editor did not read.
        """
        return self.method == "PATCH" and self.revised

    @property
    def may_want_revision(self) -> bool:
        """Whether the operation accepts If-Match. For DELETE, the header is optional."""
        return self.revised and self.method in {"PATCH", "DELETE"}


AnyOperation = Operation[Any, Any]
H = TypeVar("H", bound=Callable[..., Awaitable[Any]])


class Extras(TypedDict, total=False):
    """The fields of an `Operation` that cannot be derived from its handler."""

    max_body: int
    least: Role
    query: tuple[Parameter, ...]
    status: int
    revised: bool
    location: str
    secrets: tuple[str, ...]
    private: bool
    refusals: tuple[int, ...]
    question: bool


def operation(method: Method, path: str, operation_id: str, **extras: Unpack[Extras]) -> Callable[[H], H]:
    """Return a decorator that declares a function or method as the handler of an operation.

    The other fields of the `Operation` come from the handler:

    - The first paragraph of the docstring is the summary, and the rest is the description.
    - The argument `Call[...]` names the type of the body. The return type is the type of the answer.

    Without `least`, an operation that can make changes needs the role operator. Any other operation needs the
    role viewer.
    """

    def mark(handler: H) -> H:
        handler.__operation__ = (method, path, operation_id, extras)  # type: ignore[attr-defined] # read by `declared`
        return handler

    return mark


def declared(*handlers: Callable[[Call[Any]], Awaitable[Any]]) -> list[AnyOperation]:
    """Return the operations of these handlers, in the same order. Each handler has the decorator `operation`."""
    return [_declared(each) for each in handlers]


def _declared(handler: Callable[[Call[Any]], Awaitable[Any]]) -> AnyOperation:
    method, path, operation_id, extras = handler.__operation__  # type: ignore[attr-defined] # set by `operation`
    body, answer = _types(handler)
    summary, *rest = inspect.cleandoc(handler.__doc__ or "").split("\n\n")
    changes = method != "GET" and not extras.get("question", False)
    return Operation(
        method=method,
        path=path,
        operation_id=operation_id,
        summary=_line(summary).removesuffix("."),
        description=" ".join(map(_line, rest)),
        handler=handler,
        body=body,
        answer=answer,
        **{"least": Role.OPERATOR if changes else Role.VIEWER, **extras},
    )


def _types(handler: Callable[[Call[Any]], Awaitable[Any]]) -> tuple[Any, Any]:
    """Return the type of the body and the type of the answer, from the annotations of the handler.

    Reading annotations is slow, so the function stores the types on the handler. A cache would instead keep
    closures and their services in memory.
    """
    function: Any = getattr(handler, "__func__", handler)
    if not hasattr(function, "__types__"):
        hints = get_type_hints(function)
        (body,) = (get_args(hint)[0] for name, hint in hints.items() if name != "return")
        function.__types__ = body, hints["return"]
    types: tuple[Any, Any] = function.__types__
    return types


def _line(paragraph: str) -> str:
    return " ".join(paragraph.split())


Handler = Callable[[Request], Awaitable[Response]]


def resource(path: str, *, get: Handler | None = None, post: Handler | None = None) -> Route:
    """Return one route for all methods of the path.

    A 405 response must list every method of the path (RFC 9110 section 15.5.6), and only one route knows all of
    them.
    """
    handlers = {method: handler for method, handler in (("GET", get), ("HEAD", get), ("POST", post)) if handler}

    async def answer(request: Request) -> Response:
        return await handlers[request.method](request)

    return Route(path, answer, methods=list(handlers))


log = structlog.get_logger(__name__)


def routes_of(site: UnitOfWork, operations: Iterable[AnyOperation]) -> list[Route]:
    """Return one route for each path, with all operations of the path.

    A 405 response must list every method of the path (RFC 9110 section 15.5.6). Raises `ValueError` if an
    operation is declared twice.
    """
    by_path: dict[str, dict[str, AnyOperation]] = {}
    for each in operations:
        by_method = by_path.setdefault(each.path, {})
        if each.method in by_method:
            raise ValueError(f"{each.method} {each.path} is declared twice")
        by_method[each.method] = each
    bodies = LargeBodies()
    return [_route(site, bodies, path, by_method) for path, by_method in by_path.items()]


def _route(site: UnitOfWork, bodies: LargeBodies, path: str, by_method: Mapping[str, AnyOperation]) -> Route:
    by_method = {**by_method, "HEAD": by_method["GET"]} if "GET" in by_method else by_method

    async def answer(request: Request) -> Response:
        return await _answered(site, bodies, by_method[request.method], request)

    return Route(path, answer, methods=list(by_method))


async def _answered(site: UnitOfWork, bodies: LargeBodies, operation: Operation[B, A], request: Request) -> Response:
    request.state.least = operation.least  # a refusal without a valid key names the role that the key needs
    act = await site.act(request)
    try:
        return await _permitted(site, bodies, operation, request, act)
    except NotPermitted as why:
        await site.refused(act, why, _asked(operation, request))
        raise


async def _permitted(
    site: UnitOfWork, bodies: LargeBodies, operation: Operation[B, A], request: Request, act: Act
) -> Response:
    act.principal.require(operation.least)
    rehearsed = dry_run.asked_for(request, changes=operation.changes)
    _require_known(request, operation)
    call = Call(
        request=request,
        site=site,
        act=act,
        body=await _body(request, bodies, operation, act),
        expected=etags.expected(
            request.headers.getlist("if-match"),
            wanted=operation.wants_revision,
            known=operation.may_want_revision,
        ),
        dry_run=rehearsed,
    )
    if rehearsed is None:
        return _response(operation, await operation.handler(call))
    # Logged before it runs: a dry run leaves no event in the audit log, and delays other requests.
    log.info(
        "dry run",
        request_id=act.request_id,
        operation=operation.operation_id,
        by=_who(act),
    )
    with rehearsing():
        result = await operation.handler(call)
    return JSONResponse(rehearsed.answer(result, secrets=operation.secrets))


async def _body(request: Request, bodies: LargeBodies, operation: Operation[B, A], act: Act) -> B:
    if operation.method == "GET":
        return cast("B", NoBody())
    return await bodies.read(request, operation.body, at_most=operation.max_body, whose=_who(act))


def _require_known(request: Request, operation: AnyOperation) -> None:
    """Raise `Invalid` for an unknown query parameter, or for a parameter that is repeated.

    Otherwise, a request with the misspelt `?dryrun=1` would make the real change.
    """
    known = [each.name for each in operation.query] + ([dry_run.NAME] if operation.changes else [])
    for name in request.query_params:
        query_value(request, name)
        # A GET changes nothing, so `dry_run` does no harm there.
        if name not in known and not (operation.method == "GET" and name == dry_run.NAME):
            raise Invalid(name, "This query parameter does not exist.", f"Known parameters: {_listed(known)}.")


def _asked(operation: AnyOperation, request: Request) -> str:
    """Return the operation for the audit log: the method and the path template, with `?dry_run=1` for a dry run.

    The actual path is not used, because it can contain any text.
    """
    rehearsed = operation.changes and request.query_params.get(dry_run.NAME) == "1"
    return f"{operation.method} {operation.path}{f'?{dry_run.NAME}=1' if rehearsed else ''}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _response(operation: Operation[B, A], result: A) -> Response:
    headers = {}
    shown: Mapping[str, Any] = cast("Mapping[str, Any]", result)
    if operation.revised and operation.method != "DELETE":
        headers["ETag"] = etag_of(shown)
    if operation.location:
        headers["Location"] = operation.location.format_map(shown)
    if operation.secrets or operation.private:
        headers["Cache-Control"] = "no-store"
    return JSONResponse(result, operation.status, headers)


def _who(act: Act) -> str:
    return f"{act.principal.kind} {act.principal.id}".rstrip()
