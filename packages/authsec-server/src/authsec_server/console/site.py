"""The objects that pages use: one `Console`, and a `PageRequest` for each request of a signed-in person.

Every page shows the sidebar, and after a change a notice. The names in the sidebar are those of the walk-through.

async def listing(visit: PageRequest) -> Response:
    roles = await visit.read(lambda tx: service.page(tx, visit.act))
    return visit.render("roles/list.html", title="Roles & Actions", roles=roles)

console.page("/roles", listing)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from authsec_server.accounts.model.sessions import SessionTerms
from authsec_server.accounts.oidc import OpenIdSignIn
from authsec_server.accounts.second_step import SecondSteps
from authsec_server.accounts.sign_in import SignIn
from authsec_server.attestation.explain.service import TokenExplainer
from authsec_server.audit.live import LiveAuditLog
from authsec_server.console import guard
from authsec_server.console.errors import FailedPage, answered
from authsec_server.console.forms import Form, by_field, query_of, read_form
from authsec_server.console.notices import NOTICES, WARNINGS
from authsec_server.console.rendering import Assets, Renderer
from authsec_server.console.server_command import needs_variables, option_text, server_command
from authsec_server.db import Tx
from authsec_server.delegations.model import Terms
from authsec_server.failures import Failure, Outdated, RoleTooSmall
from authsec_server.issuers.cluster_client import ClusterApis
from authsec_server.issuers.key_sets import KeySets
from authsec_server.keys.key_ring import SigningKeyRing
from authsec_server.principal import Act, Principal, Role
from authsec_server.revisions import Revised
from authsec_server.sdk_wheels import SdkWheels
from authsec_server.settings import ENV_PREFIX, Settings
from authsec_server.tokens.issue import DelegationTokens
from authsec_server.tokens.own_tokens import OwnTokens
from authsec_server.web.bodies import Places
from authsec_server.web.errors import status_of
from authsec_server.web.middleware import older_database_refusal
from authsec_server.web.request_context import context_of, limit_key
from authsec_server.web.unit_of_work import UnitOfWork

T = TypeVar("T")
THEME_COOKIE = "authsec-theme"
THEMES = ("light", "dark")
# These paths accept forms even while the database is older than its outside checkpoints.
SIGNING_IN = ("/console/sign-in", "/console/sign-in/code", "/console/sign-out", "/console/theme")
DOWNLOADS, DOWNLOADS_OF_ONE = 16, 2  # concurrent downloads: in total, and per person
GUESTS, GUESTS_OF_ONE = 64, 8  # concurrent forms without sign-in: in total, and per network; a stranger can send slowly


@dataclass(frozen=True, kw_only=True)
class PublicRequest:
    """A request for a page that needs no sign-in. `form` has fields only if the method is POST."""

    console: Console
    request: Request
    form: Form

    @cached_property
    def query(self) -> Form:
        """Return the query string as a form."""
        return query_of(self.request)

    @property
    def path(self) -> str:
        """Return the path of the request."""
        return self.request.url.path

    @property
    def posted(self) -> bool:
        """Whether the browser sent a form to the page."""
        return self.request.method == "POST"

    @property
    def sent(self) -> Form:
        """Return the form of a POST, and the query string of other requests.

        A link can fill in the fields of such a page through its query string.
        """
        return self.form if self.posted else self.query

    def named(self, parameter: str) -> str:
        """Return a parameter of the path: the id or slug that names an object."""
        return str(self.request.path_params[parameter])

    @cached_property
    def notice(self) -> str:
        """Return the notice about the change that was just made."""
        return NOTICES.get(self._done, "")

    @property
    def notice_warns(self) -> bool:
        """Whether something is left to do after the change."""
        return self._done in WARNINGS

    @property
    def _done(self) -> str:
        return (self.query.all("done") or ("",))[0]

    def here(self, **changes: object) -> str:
        """Return this page's path with changed query parameters. None removes a parameter."""
        kept = [(name, value) for name, value in self.query.pairs() if name not in changes]
        added = [(name, str(value)) for name, value in changes.items() if value not in (None, "")]
        query = urlencode(kept + added)
        return f"{self.path}?{query}" if query else self.path

    def render(
        self, template: str, *, title: str, problem: Failure | None = None, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """Render the page. `problem` and its others appear at their fields in the form, beside the typed values."""
        status = status_of(problem) if problem else status
        shown = {"problem": problem, **by_field(problem), **self._common(), **context}
        page = self.console.renderer.html(template, title=title, **shown)
        return HTMLResponse(page, status, dict(guard.HEADERS))

    def part(self, template: str, **context: Any) -> str:
        """Render a part of a page. The browser inserts the part into the page that it shows."""
        return self.console.renderer.html(template, problem=None, **by_field(None), **self._common(), **context)

    def redirect(self, path: str, **query: object) -> Response:
        """Redirect to another page (303, RFC 9110 section 15.4.4).

        With `done="…"`, the other page shows this notice of `NOTICES`.
        """
        text = urlencode({name: str(value) for name, value in query.items() if value not in (None, "")})
        joint = "&" if "?" in path else "?"
        return RedirectResponse(f"{path}{joint}{text}" if text else path, 303, dict(guard.HEADERS))

    def _common(self) -> Mapping[str, Any]:
        theme = self.request.cookies.get(THEME_COOKIE, "")
        return {
            "visit": self,
            "here": self.here,
            "now": self.console.site.now(),
            "environment": self.console.settings.environment,
            "theme": theme if theme in THEMES else "",
            "sidebar": SIDEBAR,
            "current": current_entry(self.path),
            "older": self.console.older(),
            # After a reload, a page that answers a form must not send the form again.
            "answers_form": self.posted and getattr(self.request.state, "is_page", False),
            "me": getattr(self.request.state, "principal", None),
        }

    def server_command(self, words: str) -> str:
        """Return a command of `authsec` for the server's machine, with the options for this server's data."""
        guest = getattr(self.request.state, "principal", None) is None
        return server_command(self.console.settings, words, is_guest=guest, program=self.program)

    @property
    def program(self) -> str:
        """Return how a person starts the command `authsec`."""
        return self.console.sdk.program

    @property
    def data_options(self) -> str:
        """Return the options for this server's data, or an empty text."""
        return option_text(self.console.settings).strip()

    @property
    def with_variables(self) -> str:
        """Return a remark about the variables that such commands need, or an empty text."""
        needed = needs_variables(self.console.settings)
        return f" with this server's {ENV_PREFIX}… variables" if needed else ""

    def may(self, role: str) -> bool:
        """Whether the person has this role or a higher role. Templates hide actions that are not permitted."""
        principal: Principal | None = getattr(self.request.state, "principal", None)
        return principal is not None and principal.role >= Role[role.upper()]


@dataclass(frozen=True, kw_only=True)
class PageRequest(PublicRequest):
    """A request of a signed-in person."""

    act: Act

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one database snapshot."""
        return await self.console.site.read(work)

    async def change(self, work: Callable[[Tx, Act], T]) -> T:
        """Check that the person's session is still valid, and run `work` under the authority lock."""
        return await self.console.site.change(self.act, work)

    def revision_of(self, stored: Revised, problem: Failure | None) -> int:
        """Return the revision for an edit form: the revision that the person has read.

        After `Outdated`, the form shows the stored values and gets the stored revision. The next attempt can then
        overwrite the stored values.
        """
        if self.form.ticked("revision") and not isinstance(problem, Outdated):
            return self.form.number("revision")
        return stored.revision

    def saved(self, path: str, edited: Revised, revision: int) -> Response:
        """Redirect to the page of an object after an edit of `revision`. A notice says whether anything changed."""
        return self.redirect(path, done="saved" if edited.revision > revision else "unchanged")


Page = Callable[[PageRequest], Awaitable[Response]]
OpenPage = Callable[[PublicRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The services and settings that all pages use. `site` authenticates people by their session."""

    site: UnitOfWork
    settings: Settings
    assets: Assets
    renderer: Renderer
    terms: Terms
    tokens: DelegationTokens
    own_tokens: OwnTokens
    key_ring: SigningKeyRing
    sign_in: SignIn
    second_steps: SecondSteps
    session_terms: SessionTerms
    open_id: OpenIdSignIn | None
    live: LiveAuditLog
    key_sets: KeySets
    cluster_apis: ClusterApis
    token_explainer: TokenExplainer
    sdk: SdkWheels
    older: Callable[[], str | None] = lambda: None  # returns why the database is older, or None
    downloads: Places = field(default_factory=lambda: Places(at_once=DOWNLOADS, of_one=DOWNLOADS_OF_ONE))
    guests: Places = field(default_factory=lambda: Places(at_once=GUESTS, of_one=GUESTS_OF_ONE))

    def page(self, path: str, get: Page | None = None, *, post: Page | None = None, least: Role = Role.VIEWER) -> Route:
        """Return the route of a page under `/console` for signed-in people with the role `least` or a higher role."""

        async def endpoint(request: Request) -> Response:
            act = await self.site.act(request)
            request.state.principal = act.principal
            try:
                act.principal.require(least)
                handler, form = await self._pick(request, get, post)
                return await handler(PageRequest(console=self, request=request, form=form, act=act))
            except RoleTooSmall as why:  # not recorded for a form of another site, which the person did not send
                await self.site.refused(act, why, f"{request.method} /console{path}")
                raise

        return self._route(path, endpoint, get, post)

    def open_page(self, path: str, get: OpenPage | None = None, *, post: OpenPage | None = None) -> Route:
        """Return the route of a page under `/console` that needs no sign-in."""

        async def endpoint(request: Request) -> Response:
            network = limit_key(context_of(request.scope).address)
            with self.guests.one(network) if request.method == "POST" else nullcontext():
                handler, form = await self._pick(request, get, post)
            return await handler(PublicRequest(console=self, request=request, form=form))

        return self._route(path, endpoint, get, post)

    async def _pick(self, request: Request, get: T | None, post: T | None) -> tuple[T, Form]:
        if request.method == "POST" and post is not None:
            guard.refuse_other_sites(request, self.settings.console_address)
            return post, await read_form(request)
        assert get is not None  # the route has no other methods
        return get, Form()

    def _route(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], get: object | None, post: object | None
    ) -> Route:
        async def private(request: Request) -> Response:
            request.state.is_page = get is not None
            guard.refuse_plain_http(self.settings.console_address)
            if request.method == "POST" and self.older() and f"/console{path}" not in SIGNING_IN:
                raise older_database_refusal()
            return await endpoint(request)

        methods = [method for method, handler in (("GET", get), ("POST", post)) if handler]
        return Route(f"/console{path}", answered(private, self.failure), methods=methods)

    def failure(self, request: Request, failed: FailedPage) -> Response:
        """Render the error page."""
        guest = PublicRequest(console=self, request=request, form=Form())
        request_id = context_of(request.scope).request_id
        page = guest.render(
            "failure.html", title=failed.title, status=failed.status, failed=failed, request_id=request_id
        )
        page.headers.update(failed.headers)
        return page


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the sidebar, shown to people with the role `least` or a higher role.

    An entry with `below` is the label of a section.
    """

    title: str
    path: str = ""
    symbol: str = ""
    below: tuple[Entry, ...] = ()
    least: str = "viewer"


SIDEBAR = (
    Entry(title="Dashboard", path="/console", symbol="dashboard"),
    Entry(
        title="Clients",
        below=(Entry(title="MCP Servers / AI Agents", path="/console/clients", symbol="clients"),),
    ),
    Entry(
        title="Authority",
        below=(
            Entry(title="Trust Delegation", path="/console/delegations", symbol="delegations"),
            Entry(title="Roles & Actions", path="/console/roles", symbol="roles"),
            Entry(title="APIs", path="/console/apis", symbol="apis"),
            Entry(title="Trusted issuers", path="/console/issuers", symbol="issuers"),
        ),
    ),
    Entry(
        title="Oversight",
        below=(
            Entry(title="Activity", path="/console/activity", symbol="activity"),
            Entry(title="Keys", path="/console/keys", symbol="keys"),
        ),
    ),
    Entry(
        title="Organisation",
        below=(
            Entry(title="Administrators", path="/console/administrators", symbol="administrators"),
            Entry(title="Settings", path="/console/settings", symbol="settings", least="admin"),
        ),
    ),
)


def current_entry(path: str) -> str:
    """Return the path of the sidebar line to which the page `path` belongs. Return "" if there is no such line."""
    candidates = [entry.path for group in SIDEBAR for entry in (group, *group.below) if entry.path]
    if path.rstrip("/") == "/console":
        return "/console"
    return max((each for each in candidates if each != "/console" and f"{path}/".startswith(f"{each}/")), default="")
