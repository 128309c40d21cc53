"""The form of a trusted issuer; add, edit, disable, enable and remove it.

Other buttons fetch the issuer's keys, check its cluster, and bind proofs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from authsec import strict_json
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import Users
from authsec_server.console.confirm import Confirmation, Question, already_is, once, redirect_to
from authsec_server.console.forms import Form, at_typed_slug, placed, raise_all, stored_meanwhile
from authsec_server.console.issuers.pages import detail
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.failures import Conflict, Failure, FailureList, Invalid, Outdated, Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers import validation
from authsec_server.issuers.claims import PRESETS
from authsec_server.issuers.cluster_client import require_answers
from authsec_server.issuers.key_set_parsing import EXPOSED, holds_private_key
from authsec_server.issuers.model import (
    CLUSTER_TERMS,
    EDITABLE,
    KeysFrom,
    KeysUnavailable,
    Lookup,
    LookupUnavailable,
    ProposedTrustedIssuer,
    TrustedIssuer,
    TrustedIssuerKind,
    plain_terms,
)
from authsec_server.principal import Act, Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of all changes."""
    return [
        console.page("/issuers/new", form, post=create, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/edit", edit_form, post=edit, least=Role.ADMIN),
        *(ending.route(console) for ending in CONFIRMATIONS),
        console.page("/issuers/{trusted_issuer}/refresh", post=refresh, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/check", post=check, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/bind", post=bind, least=Role.OPERATOR),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the choice of a kind of issuer. After the choice, show the form of that kind."""
    kind = visit.form.text("kind") or visit.query.text("kind")
    if kind not in set(TrustedIssuerKind):
        return visit.render(
            "issuers/kinds.html", title="Add trusted issuer", kinds=list(TrustedIssuerKind), problem=problem
        )
    return _form(
        visit, TypedTrustedIssuer.read(visit.form, kind), None, f"Add {TrustedIssuerKind(kind).shown}", problem
    )


async def create(visit: PageRequest) -> Response:
    """Add the trusted issuer, and fetch its keys. Without keys, the issuer is added all the same."""
    typed = TypedTrustedIssuer.read(visit.form, visit.form.text("kind"))
    problems, may = FailureList(), _may_look_up(visit)
    asked = typed.asked(problems)
    try:
        await raise_all(problems, lambda: visit.read(lambda tx: issuers.propose(tx, visit.act, asked, may_look_up=may)))
        trusted_issuer = await visit.change(lambda tx, act: issuers.create(tx, act, asked, may_look_up=may))
    except (Invalid, Conflict) as failure:
        at_slug = partial(at_typed_slug, typed=typed["slug"], kind="trusted issuer", pages="/console/issuers")
        return await form(visit, placed(failure, at_slug, _FIELDS))
    done = "trusted_issuer_added"
    try:
        keys = await run_in_threadpool(visit.console.key_sets.refresh, trusted_issuer)
    except KeysUnavailable:  # changed meanwhile; its page shows the state
        return visit.redirect(f"/console/issuers/{trusted_issuer.slug}", done=done)
    return visit.redirect(
        f"/console/issuers/{trusted_issuer.slug}", done="trusted_issuer_without_keys" if keys.failure else done
    )


async def edit_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the edit form with the stored values. After a problem, show the typed values instead."""

    def load(tx: Tx) -> tuple[TrustedIssuer, Users]:
        trusted_issuer = issuers.get(tx, visit.act, visit.named("trusted_issuer"))
        return trusted_issuer, bindings.users_of(tx, visit.act, trusted_issuer)

    trusted_issuer, users = await visit.read(load)
    posted = visit.posted
    typed = (
        TypedTrustedIssuer.read(visit.form, trusted_issuer.kind) if posted else TypedTrustedIssuer.of(trusted_issuer)
    )
    return _form(visit, typed, trusted_issuer, f"Edit {trusted_issuer.name}", problem, users)


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. The edit fails if somebody else has changed the issuer since."""
    reference, read = visit.named("trusted_issuer"), visit.form.number("revision")
    trusted_issuer = await visit.read(lambda tx: issuers.get(tx, visit.act, reference))
    typed, anyway = TypedTrustedIssuer.read(visit.form, trusted_issuer.kind), visit.form.ticked("anyway")

    problems = FailureList()
    changes = typed.changes(problems, trusted_issuer)
    try:
        await raise_all(problems, lambda: visit.read(lambda _tx: validation.edited(trusted_issuer, changes)))
        if not anyway:
            apis = visit.console.cluster_apis
            await run_in_threadpool(require_answers, apis, trusted_issuer, revision=read, changes=changes)
        edited = await visit.change(
            lambda tx, act: bindings.edit_trusted_issuer(
                tx,
                act,
                reference,
                revision=read,
                changes=changes,
                trust_domain=visit.console.settings.trust_domain,
                may_look_up=_may_look_up(visit),
            )
        )
    except (Invalid, Conflict) as failure:
        return await edit_form(visit, placed(failure, lambda each: each, _FIELDS))
    except Outdated as failure:
        return await edit_form(visit, failure)
    return visit.saved(f"/console/issuers/{edited.slug}", edited, read)


_FIELDS = (
    *("name", "issuer", "keys_from", "given_keys", "keys_url", "ca", "preset", "claims"),
    *(*Lookup, "api_server", "api_ca", "credentials", "audience", "slug"),
)
"""The fields of the form, in its order."""


def _may_look_up(visit: PageRequest) -> bool:
    return visit.console.settings.credentials_dir is not None


def _form(
    visit: PageRequest,
    typed: TypedTrustedIssuer,
    trusted_issuer: TrustedIssuer | None,
    title: str,
    problem: Failure | None,
    users: Users | None = None,
) -> Response:
    stored = TypedTrustedIssuer.of(trusted_issuer) if trusted_issuer else typed
    return visit.render(
        "issuers/form.html",
        title=title,
        problem=problem,
        typed=typed,
        trusted_issuer=trusted_issuer,
        users=users,
        known=stored_meanwhile(problem, stored.texts, typed.texts),
        presets=sorted(PRESETS),
        may_look_up=_may_look_up(visit),
        revision=visit.revision_of(trusted_issuer, problem) if trusted_issuer else 0,
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    trusted_issuer = issuers.get(tx, visit.act, visit.named("trusted_issuer"))
    home = f"/console/issuers/{trusted_issuer.slug}"
    return Question(
        name=trusted_issuer.name,
        trail=[("Trusted issuers", "/console/issuers"), (trusted_issuer.name, home)],
        ids={"trusted_issuer": trusted_issuer.slug},
        shown={
            "trusted_issuer": trusted_issuer,
            "users": bindings.users_of(tx, visit.act, trusted_issuer),
            "stops": impact.of_trusted_issuer(tx, visit.act, trusted_issuer.id),
            "stopped": impact.stopped_by(tx, visit.act, trusted_issuer.id),
        },
    )


def _enable(tx: Tx, act: Act, visit: PageRequest) -> object:
    domain = visit.console.settings.trust_domain
    return bindings.enable_trusted_issuer(tx, act, visit.named("trusted_issuer"), trust_domain=domain)


async def _remove(visit: PageRequest) -> None:
    """Remove the issuer with its proofs. Many proofs take several transactions; this function runs all of them."""
    reference, left = visit.named("trusted_issuer"), True
    while left:
        removed = await visit.change(
            lambda tx, act: bindings.remove_trusted_issuer(tx, act, reference, with_proofs=True)
        )
        left = removed.left > 0


def _already(verb: str) -> Callable[[Tx, PageRequest], str]:
    def look(tx: Tx, visit: PageRequest) -> str:
        trusted_issuer = issuers.get(tx, visit.act, visit.named("trusted_issuer"))
        wanted = verb == "enable"
        return already_is(f"The trusted issuer is already {verb}d") if trusted_issuer.enabled == wanted else ""

    return look


_confirmation = partial(Confirmation, template="issuers/ending.html", look=_look, least=Role.ADMIN)
CONFIRMATIONS = (
    _confirmation(
        path="/issuers/{trusted_issuer}/disable",
        already=_already("disable"),
        heading="Disable {}?",
        button="Disable",
        change=once(lambda tx, act, visit: bindings.disable_trusted_issuer(tx, act, visit.named("trusted_issuer"))),
        after=redirect_to("/console/issuers/{trusted_issuer}", done="trusted_issuer_disabled"),
    ),
    _confirmation(
        path="/issuers/{trusted_issuer}/enable",
        already=_already("enable"),
        heading="Enable {}?",
        button="Enable",
        danger=False,
        repeats=False,
        change=once(_enable),
        after=redirect_to("/console/issuers/{trusted_issuer}", done="trusted_issuer_enabled"),
    ),
    _confirmation(
        path="/issuers/{trusted_issuer}/remove",
        heading="Remove {}?",
        button="Remove",
        change=_remove,
        after=redirect_to("/console/issuers", done="trusted_issuer_removed"),
    ),
)


async def refresh(visit: PageRequest) -> Response:
    """Fetch the issuer's keys now. The issuer's page shows the result."""
    return await _asked(visit, visit.console.key_sets.refresh)


async def check(visit: PageRequest) -> Response:
    """Query the issuer's cluster now. The issuer's page shows the result."""
    return await _asked(visit, visit.console.cluster_apis.check)


async def _asked(visit: PageRequest, ask: Callable[[TrustedIssuer], object]) -> Response:
    reference = visit.named("trusted_issuer")
    trusted_issuer = await visit.read(lambda tx: issuers.to_refresh(tx, visit.act, reference))
    try:
        await run_in_threadpool(ask, trusted_issuer)
    except (KeysUnavailable, LookupUnavailable) as error:
        raise Unavailable(error.sentence) from None
    return visit.redirect(f"/console/issuers/{trusted_issuer.slug}")


async def bind(visit: PageRequest) -> Response:
    """Bind the chosen proofs to this trusted issuer."""
    reference, chosen = visit.named("trusted_issuer"), visit.form.all("proof")
    domain = visit.console.settings.trust_domain
    if not chosen:
        return visit.redirect(f"/console/issuers/{reference}", done="unchanged")
    try:
        await visit.change(lambda tx, act: bindings.bind(tx, act, reference, chosen, trust_domain=domain))
    except (Invalid, Conflict) as failure:
        return await detail(visit, failure)
    return visit.redirect(f"/console/issuers/{reference}", done="proofs_bound")


_PASTE = {
    "kubernetes": "Paste the output of `kubectl get --raw /openid/v1/jwks`.",
    "spiffe": "Paste the output of `spire-server bundle show -format spiffe`.",
    "oidc": 'Paste the JWK Set, which begins with {"keys": [.',
}
MOST_KEYS = 256 * 1024  # maximum bytes of a JWK Set


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTrustedIssuer:
    """The values in the form of a trusted issuer, typed by a person or stored. `values` maps field names to values."""

    kind: str
    values: Mapping[str, Any] = field(repr=False)  # may contain a private key that was pasted by mistake

    @classmethod
    def of(cls, trusted_issuer: TrustedIssuer) -> TypedTrustedIssuer:
        """Return the form filled with the stored trusted issuer."""
        its = plain_terms(trusted_issuer)
        given, claims = its["given_keys"], sorted(its["claims"].items())
        its["given_keys"] = "" if given is None else strict_json.dumps(given).decode()
        its["claims"] = "\n".join(f"{selector} = {claim}" for selector, claim in claims)
        return cls(kind=trusted_issuer.kind, values=its)

    @classmethod
    def read(cls, form: Form, kind: str) -> TypedTrustedIssuer:
        """Return the form as typed."""
        usual = KeysFrom.DISCOVERY if kind == TrustedIssuerKind.OIDC else KeysFrom.GIVEN
        typed = {name: form.text(name).replace("\r\n", "\n") for name in (*EDITABLE, "slug", "preset")}
        ticked = {name.value: form.ticked(name) for name in Lookup}
        return cls(kind=kind, values={**typed, **ticked, "keys_from": form.text("keys_from", usual)})

    def __getitem__(self, name: str) -> Any:
        """Return the field's value. Templates use this, too."""
        return self.values[name]

    def shown(self, name: str) -> str:
        """Return the field's text if it may be sent back to the browser.

        If a person pastes a private key by mistake, the result is empty.
        """
        text: str = self[name]
        return "" if holds_private_key(text) else text

    @property
    def texts(self) -> dict[str, str]:
        """Return each text field that can be edited."""
        return {name: self[name] for name in EDITABLE if name not in set(Lookup)}

    def asked(self, problems: FailureList) -> ProposedTrustedIssuer:
        """Return the request to add the trusted issuer. For `problems`, see `changes`."""
        terms = self.changes(problems)
        return ProposedTrustedIssuer(slug=self["slug"] or None, preset=self["preset"], kind=self.kind, **terms)

    def changes(self, problems: FailureList, stored: TrustedIssuer | None = None) -> dict[str, Any]:
        """Return the edit request of the stored trusted issuer, or the terms of a new one.

        Values that cannot be parsed are in `problems`, and not in the result.

        Values of fields that the form hides are left out. Without CSS, these fields are visible.
        """
        given, by_url = self["keys_from"] == KeysFrom.GIVEN, self["keys_from"] == KeysFrom.URL
        others = () if self.kind == TrustedIssuerKind.KUBERNETES else CLUSTER_TERMS
        looks_up = any(self[lookup] for lookup in Lookup) or (stored is not None and stored.api_server)
        given_keys: Mapping[str, Any] | None = None
        claims: Mapping[str, str] = {}
        with problems.collect():
            given_keys = self._keys() if given else None
        with problems.collect():
            claims = self._claims()
        return {
            **{name: self[name] for name in EDITABLE if name not in others},
            **({} if looks_up else dict.fromkeys(("api_server", "api_ca", "credentials"), "")),
            "keys_url": self["keys_url"] if by_url else "",
            "given_keys": given_keys,
            "ca": "" if given else self["ca"],
            "claims": claims,
        }

    def _keys(self) -> Mapping[str, Any]:
        if not self["given_keys"]:
            raise Invalid("given_keys", "No keys were pasted.", _PASTE.get(self.kind, ""))
        if holds_private_key(self["given_keys"]):
            raise Invalid("given_keys", f"This contains a PRIVATE key. {EXPOSED}", "Paste the public JWK Set.")
        try:
            keys = strict_json.loads(self["given_keys"].encode(), max_bytes=MOST_KEYS)
        except strict_json.StrictJsonError:
            raise Invalid("given_keys", "These keys are not valid JSON.", 'A JWK Set begins with {"keys": [') from None
        if not isinstance(keys, dict):
            raise Invalid("given_keys", "This is not a JWK Set.", 'A JWK Set begins with {"keys": [')
        return keys

    def _claims(self) -> dict[str, str]:
        claims: dict[str, str] = {}
        for line in filter(None, (line.strip() for line in self["claims"].split("\n"))):
            selector, equals, claim = (part.strip() for part in line.partition("="))
            if not (selector and equals and claim):
                raise Invalid("claims", f"{line[:60]!r} must have the form github:repository = repository.")
            claims[selector] = claim
        return claims
