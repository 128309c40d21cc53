"""APIs: the list, the page of one API and its form; register, edit, delete; the credential of an API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from authsec.api_credential import VARIABLE
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.apis.model import EDITABLE, MAX_ACTIONS, Action, Api, ApiKind, Credential
from authsec_server.console.api_snippets import position, snippets
from authsec_server.console.client_status import statuses_of
from authsec_server.console.confirm import Confirmation, Question, already_is, once, redirect_to
from authsec_server.console.forms import Form, at_typed_slug, placed, stored_meanwhile
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import effective, impact, live_tokens
from authsec_server.delegations.live_tokens import TokensAtApi
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.keys.model import Algorithm
from authsec_server.principal import Act, Role

PAGE = 50
CALLERS = 50
CREDENTIALS = "/apis/{api}/credentials"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of APIs. Fixed paths come before paths with a slug."""
    return [
        console.page("/apis", listing),
        console.page("/apis/new", form, post=create, least=Role.OPERATOR),
        console.page("/apis/{api}/edit", edit_form, post=edit, least=Role.OPERATOR),
        DELETE.route(console),
        console.page(f"{CREDENTIALS}/new", credential_form, post=create_credential, least=Role.OPERATOR),
        REVOKE.route(console),
        console.page("/apis/{api}", detail),
    ]


async def listing(visit: PageRequest) -> Response:
    """List the APIs by slug."""
    text, after = visit.query.text("text"), visit.query.text("cursor")

    def look(tx: Tx) -> dict[str, Any]:
        found, following = apis.page(tx, visit.act, text=text, after=after, limit=PAGE)
        return {"rows": found, "following": following, "followed": _followed(tx, visit, found)}

    return visit.render("apis/list.html", title="APIs", narrowed=text, cursor=after, **await visit.read(look))


async def detail(visit: PageRequest) -> Response:
    """Show one API."""
    silent = await outages(visit)

    def load(tx: Tx) -> dict[str, Any]:
        api = apis.get(tx, visit.act, visit.named("api"))
        callers, more = effective.callers_of(tx, visit.act, api, visit.console.terms, limit=CALLERS)
        return {
            "api": api,
            "callers": callers,
            "needs_dpop": effective.needs_dpop(tx, visit.act, api, visit.console.terms),
            "more_callers": more,
            "statuses": statuses_of(tx, [each.client for each in callers], visit.act.now, silent),
            "followed": _followed(tx, visit, [api])[api.identifier],
            "credentials": credentials.of_api(tx, visit.act, api.slug),
        }

    seen = await visit.read(load)
    api = seen["api"]
    codes = snippets(visit.console.settings.issuer, api, sdk=visit.console.sdk, needs_dpop=seen["needs_dpop"])
    return visit.render(
        "apis/detail.html",
        title=api.name,
        shared=api.identifier == visit.console.terms.default_audience,
        frameworks=codes,
        framework=position(api, codes),
        **seen,
    )


def _followed(tx: Tx, visit: PageRequest, shown: Sequence[Api]) -> dict[str, TokensAtApi]:
    """Return, for each audience, whether the API with this audience follows the revocation feed."""
    found = live_tokens.at_apis(tx, visit.act.now, [api.identifier for api in shown], {})
    return {each.audience: each for each in found}


SPARE_ROWS = 3
DEFAULTS = {"signing_algorithm": Algorithm.RS256.value}
TEXTS = ("slug", *(name for name in EDITABLE if name != "actions"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedApi:
    """The values in the form of an API, typed by a person or stored. `spare` is the number of empty rows."""

    texts: Mapping[str, str] = field(default_factory=lambda: {**dict.fromkeys(TEXTS, ""), **DEFAULTS})
    kind: str = ApiKind.API
    actions: Sequence[tuple[str, ...]] = ()
    spare: int = SPARE_ROWS

    @classmethod
    def of(cls, api: Api) -> TypedApi:
        """Return the form filled with the stored API."""
        return cls(
            texts={name: str(getattr(api, name)) for name in TEXTS},
            kind=api.kind,
            actions=[(each.action, each.description) for each in api.actions],
        )

    @classmethod
    def read(cls, form: Form) -> TypedApi:
        """Return the form as typed. If the button `more` was pressed, the form gets more empty rows."""
        actions = form.rows("action", "action_description")
        empty = len(form.all("action")) - len(actions)
        return cls(
            texts={name: form.text(name, DEFAULTS.get(name, "")).replace("\r\n", "\n") for name in TEXTS},
            kind=form.text("kind", ApiKind.API),
            actions=actions,
            spare=SPARE_ROWS + (min(empty, MAX_ACTIONS) if form.ticked("more") else 0),
        )

    @property
    def changes(self) -> dict[str, Any]:
        """Return the fields that an edit can change. They are not validated yet."""
        actions = [Action(action=action, description=description) for action, description in self.actions]
        return {**{name: text for name, text in self.texts.items() if name != "slug"}, "actions": actions}

    @property
    def readable(self) -> dict[str, str]:
        """Return each editable field as one line of text."""
        actions = "; ".join(f"{action}: {description}" for action, description in sorted(self.actions))
        return {**self.changes, "actions": actions}

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Return the filled rows and the empty rows of the form."""
        return [*self.actions, *[("", "")] * self.spare]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form that registers an API."""
    typed = TypedApi.read(visit.form)
    return visit.render("apis/form.html", title="Register an API", problem=problem, typed=typed, api=None, known={})


async def create(visit: PageRequest) -> Response:
    """Register the API. If the person asked for more rows, show the form with more rows instead."""
    typed = TypedApi.read(visit.form)
    if visit.form.ticked("more"):
        return await form(visit)

    def work(tx: Tx, act: Act) -> Api:
        return apis.create(tx, act, kind=_kind(typed.kind), slug=typed.texts["slug"] or None, **typed.changes)

    try:
        api = await visit.change(work)
    except (Invalid, Conflict) as failure:
        return await form(visit, _at_fields(typed, failure))
    return visit.redirect(f"/console/apis/{api.slug}", done="api_registered")


_FIELDS = ("name", "identifier", "kind", "slug", "description", "signing_algorithm", "actions")
"""The fields of the form, in its order."""


def _at_fields(typed: TypedApi, failure: Invalid | Conflict) -> Invalid | Conflict:
    """Move the problem of a taken slug to the field that the person typed."""
    slug = typed.texts["slug"]
    return placed(failure, lambda each: at_typed_slug(each, slug, kind="API", pages="/console/apis"), _FIELDS)


async def edit_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the edit form with the stored values. After a problem, show the typed values instead."""
    api = await visit.read(lambda tx: apis.get(tx, visit.act, visit.named("api")))
    stored = TypedApi.of(api)
    typed = TypedApi.read(visit.form) if visit.posted else stored
    return visit.render(
        "apis/form.html",
        title=f"Edit {api.name}",
        problem=problem,
        typed=typed,
        api=api,
        known=stored_meanwhile(problem, stored.readable, typed.readable),
        revision=visit.revision_of(api, problem),
    )


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. The edit fails if somebody else has changed the API since."""
    typed, reference = TypedApi.read(visit.form), visit.named("api")
    read = visit.form.number("revision")
    if visit.form.ticked("more"):
        return await edit_form(visit)

    def work(tx: Tx, act: Act) -> Api:
        return apis.edit(tx, act, reference, revision=read, changes=typed.changes)

    try:
        api = await visit.change(work)
    except (Invalid, Conflict) as failure:
        return await edit_form(visit, placed(failure, lambda each: each, _FIELDS))
    except Outdated as failure:
        return await edit_form(visit, failure)
    return visit.saved(f"/console/apis/{api.slug}", api, read)


def _look(tx: Tx, visit: PageRequest) -> Question:
    api = apis.get(tx, visit.act, visit.named("api"))
    return Question(
        name=api.name,
        trail=[("APIs", "/console/apis"), (api.name, f"/console/apis/{api.slug}")],
        ids={"api": api.id},
        shown={"api": api, "what": impact.of_api(tx, visit.act, api.id, visit.console.terms)},
    )


DELETE = Confirmation(
    path="/apis/{api}/delete",
    template="apis/delete.html",
    heading="Delete {}?",
    button="Delete",
    look=_look,
    change=once(lambda tx, act, visit: apis.delete(tx, act, visit.named("api"))),
    after=redirect_to("/console/apis", done="api_deleted"),
)


def _kind(text: str) -> ApiKind:
    try:
        return ApiKind(text)
    except ValueError:
        raise Invalid("kind", "This is not a kind of API.", "Choose API or MCP Server.") from None


async def credential_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form for a new credential. At the limit, show the valid ones with links that revoke them."""

    def load(tx: Tx) -> tuple[Api, list[Credential]]:
        return apis.get(tx, visit.act, visit.named("api")), credentials.of_api(tx, visit.act, visit.named("api"))

    api, held = await visit.read(load)
    valid = [each for each in held if each.refusal(visit.act.now) is None]
    return visit.render(
        "apis/new_credential.html",
        title="Create credential",
        problem=problem,
        api=api,
        name=visit.form.text("name", credentials.name_of_the_day(visit.act.now, held)),
        days=visit.form.text("days"),
        valid=valid if len(valid) >= credentials.MAX_VALID else [],
    )


async def create_credential(visit: PageRequest) -> Response:
    """Create the credential and show it once."""
    typed = visit.form

    def work(tx: Tx, act: Act) -> tuple[Api, Credential, str]:
        life = timedelta(days=min(typed.number("days"), 100_000)) if typed.text("days") else None
        made, text = credentials.create(tx, act, visit.named("api"), name=typed.text("name"), life=life)
        return apis.get(tx, act, visit.named("api")), made, text

    try:
        api, made, text = await visit.change(work)
    except (Invalid, Conflict) as failure:
        if isinstance(failure, Invalid) and failure.field == "expires_in":
            failure = Invalid(
                "days", "A credential can be valid for 1 to 3650 days.", "Leave the field empty for no expiry."
            )
        return await credential_form(visit, failure)
    # Shown once: only a hash of the credential is stored.
    return visit.render(
        "apis/credential.html", title="API credential", api=api, credential=made, text=text, variable=VARIABLE
    )


def _look_at_credential(tx: Tx, visit: PageRequest) -> Question:
    api = apis.get(tx, visit.act, visit.named("api"))
    credential = credentials.get(tx, visit.act, api.slug, visit.named("credential"))
    others = [
        each
        for each in credentials.of_api(tx, visit.act, api.slug)
        if each.refusal(visit.act.now) is None and each.id != credential.id
    ]
    return Question(
        name=credential.name,
        trail=[("APIs", "/console/apis"), (api.name, f"/console/apis/{api.slug}")],
        shown={"api": api, "credential": credential, "others": others},
    )


def _already_revoked(tx: Tx, visit: PageRequest) -> str:
    credential = credentials.get(tx, visit.act, visit.named("api"), visit.named("credential"))
    said = f"The credential {credential.name} was already revoked"
    return already_is(said, credential.revoked_at) if credential.revoked_at else ""


REVOKE = Confirmation(
    path=f"{CREDENTIALS}/{{credential}}/revoke",
    template="apis/revoke_credential.html",
    heading='Revoke the credential "{}"?',
    button="Revoke",
    look=_look_at_credential,
    already=_already_revoked,
    change=once(lambda tx, act, visit: credentials.revoke(tx, act, visit.named("api"), visit.named("credential"))),
    after=redirect_to("/console/apis/{api}", done="api_credential_revoked"),
)
