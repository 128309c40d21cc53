"""Every address of the console, with an example of each: whose role it takes, and what somebody types there.

A test that goes through `ADDRESSES` forgets none: `test_console_addresses.py` compares them with the app's routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

from authsec.jose import PrivateKey
from pages import get, selector_rows
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

API = "/authsec/api/v1"
ANYBODY, VIEWER, OPERATOR, ADMIN = "anybody", "viewer", "operator", "admin"
ROLES = (VIEWER, OPERATOR, ADMIN)
FORM = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}

_NAMED = r"\{([a-z_: ]+)\}"
Typed = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One route. `looks` and `sends` are the least roles for GET and POST; empty where there is no such thing.

    `typed` goes over what the form of the address holds, `query` makes the page one that has something to show, and
    `changes` says whether what is sent changes anything. `needs_phone` says that a form is refused without a code of a
    phone: test_second_factor.py sends it.
    """

    path: str
    looks: str = ""
    sends: str = ""
    typed: Typed = field(default_factory=dict)
    query: str = ""
    changes: bool = True
    needs_phone: bool = False

    @property
    def pattern(self) -> str:
        """The path as its route has it: an example may have to be disabled, or idle."""
        return re.sub(r"\{\w+ (\w+)\}", r"{\1}", self.path)

    @property
    def inside(self) -> bool:
        """Whether one must have signed in."""
        return ANYBODY not in (self.looks, self.sends)


PASSWORDS = {"current": "{password}", "new": "a new long passphrase", "again": "a new long passphrase"}
ADDRESSES = (
    Address(path="/", looks=ANYBODY),
    Address(path="/console/static/{version}/{name}", looks=ANYBODY),
    Address(path="/console/theme", sends=ANYBODY, typed={"theme": "dark"}, changes=False),
    Address(
        path="/console/sign-in",
        looks=ANYBODY,
        sends=ANYBODY,
        typed={"email": "nobody@example.com", "password": "{mark}", "next": "{mark}"},
    ),
    Address(path="/console/sign-in/code", looks=ANYBODY, sends=ANYBODY, typed={"code": "{mark}", "next": "{mark}"}),
    Address(path="/console/sign-in/open-id", looks=ANYBODY),
    Address(path="/console/sign-in/callback", looks=ANYBODY, query="state={mark}&code={mark}"),
    Address(path="/console/set-up", looks=ANYBODY, sends=ANYBODY, query="code={code}", typed={"password": "short"}),
    Address(path="/console/{path:path}", looks=ANYBODY, sends=ANYBODY, changes=False),
    Address(path="/console/sign-out", sends=VIEWER),
    Address(path="/console/account", looks=VIEWER),
    Address(path="/console/account/password", looks=VIEWER, sends=VIEWER, typed=PASSWORDS),
    Address(
        path="/console/account/second-factor",
        looks=VIEWER,
        sends=VIEWER,
        typed={"current": "{password}"},
        changes=False,
    ),
    Address(
        path="/console/account/second-factor/confirm",
        looks=VIEWER,
        sends=VIEWER,
        typed={"setup": "{mark}", "code": "{mark}"},
        changes=False,
        needs_phone=True,
    ),
    Address(
        path="/console/account/second-factor/off",
        looks=VIEWER,
        sends=VIEWER,
        typed={"current": "{mark}", "code": "{mark}"},
        changes=False,
        needs_phone=True,
    ),
    Address(path="/console/account/sessions/{session}/end", sends=VIEWER),
    Address(path="/console/account/sessions/end-others", looks=VIEWER, sends=VIEWER),
    Address(path="/console", looks=VIEWER),
    Address(path="/console/picture", looks=VIEWER),
    Address(path="/console/search", looks=VIEWER, query="q={mark}"),
    Address(path="/console/search/suggestions", looks=VIEWER, query="q={mark}"),
    Address(path="/console/clients", looks=VIEWER, query="text={mark}"),
    Address(
        path="/console/clients/onboard", looks=OPERATOR, sends=OPERATOR, typed={"name": "New", "platform": "unattested"}
    ),
    Address(
        path="/console/clients/selectors",
        sends=OPERATOR,
        typed={"platform": "kubernetes", "key": "k8s:{mark}", "value": "{mark}"},
        changes=False,
    ),
    Address(
        path="/console/clients/disable",
        looks=OPERATOR,
        sends=OPERATOR,
        query="client={client}",
        typed={"client": "{client}"},
    ),
    Address(path="/console/clients/{client}", looks=VIEWER),
    Address(path="/console/clients/{client}/connect", looks=VIEWER),
    Address(path="/console/clients/{client}/enrol", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/clients/{client}/enrolments/{enrolment}/take-back", sends=OPERATOR),
    Address(path="/console/clients/{client}/test", looks=VIEWER, query="scope={mark}&resource={mark}&proof={mark}"),
    Address(path="/console/clients/{client}/edit", looks=OPERATOR, sends=OPERATOR, typed={"name": "Other"}),
    Address(
        path="/console/clients/{client}/proofs/add",
        looks=OPERATOR,
        sends=OPERATOR,
        typed={"platform": "docker", **selector_rows("docker", ("docker:image_id", "sha256:0"))},
    ),
    Address(path="/console/clients/{client}/check", sends=ADMIN, changes=False),
    Address(
        path="/console/clients/{client}/proofs/{unbound proof}/bind",
        sends=OPERATOR,
        typed={"trusted_issuer": "{trusted_issuer}"},
    ),
    Address(path="/console/clients/{client}/proofs/{proof}/remove", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/clients/{secretive client}/secret", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/clients/{client}/disable", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/clients/{disabled client}/enable", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/clients/{client}/revoke", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/clients/{client}/delete", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/delegations", looks=VIEWER, query="q={mark}&role={mark}&client={mark}&new={mark}"),
    Address(
        path="/console/delegations/new",
        looks=OPERATOR,
        sends=OPERATOR,
        # An owner by name: the suggested one is the signed-in person, and the form holds only as it was reviewed.
        query="role={role}&client={client}&actions=customers:read&owner=Owner{mark}&description={mark}"
        "&role_text={mark}&client_text={mark}",
    ),
    Address(
        path="/console/delegations/new/parts",
        sends=OPERATOR,
        typed={"role": "{role}", "client": "{client}", "amount": "{mark}", "audiences": "{mark}", "actions": "{mark}"},
        changes=False,
    ),
    Address(path="/console/delegations/new/clients", looks=OPERATOR),
    Address(path="/console/delegations/{delegation}", looks=VIEWER),
    Address(path="/console/delegations/{delegation}/edit", looks=OPERATOR, sends=OPERATOR, typed={"save": "1"}),
    Address(path="/console/delegations/{delegation}/disable", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/delegations/{disabled delegation}/enable", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/delegations/{delegation}/revoke", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/roles", looks=VIEWER, query="q={mark}"),
    Address(
        path="/console/roles/new",
        looks=OPERATOR,
        sends=OPERATOR,
        typed={"name": "New role", "other_actions": "customers:read"},
    ),
    Address(path="/console/roles/{role}", looks=VIEWER),
    Address(path="/console/roles/{role}/edit", looks=OPERATOR, sends=OPERATOR, typed={"name": "Other"}),
    Address(path="/console/roles/{idle role}/delete", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/apis", looks=VIEWER, query="text={mark}"),
    Address(
        path="/console/apis/new", looks=OPERATOR, sends=OPERATOR, typed={"name": "New API", "identifier": "new-api"}
    ),
    Address(path="/console/apis/{api}", looks=VIEWER),
    Address(path="/console/apis/{api}/edit", looks=OPERATOR, sends=OPERATOR, typed={"name": "Other"}),
    Address(path="/console/apis/{api}/credentials/new", looks=OPERATOR, sends=OPERATOR, typed={"name": "{mark}"}),
    Address(path="/console/apis/{api}/credentials/{credential}/revoke", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/apis/{api}/delete", looks=OPERATOR, sends=OPERATOR),
    Address(path="/console/issuers", looks=VIEWER, query="text={mark}"),
    Address(
        path="/console/issuers/new",
        looks=ADMIN,
        sends=ADMIN,
        query="kind=kubernetes",
        typed={"name": "New cluster", "issuer": "https://new.example.com", "keys_from": "discovery"},
    ),
    Address(path="/console/issuers/{trusted_issuer}", looks=VIEWER),
    Address(path="/console/issuers/{trusted_issuer}/edit", looks=ADMIN, sends=ADMIN, typed={"name": "Other"}),
    Address(path="/console/issuers/{trusted_issuer}/disable", looks=ADMIN, sends=ADMIN),
    Address(path="/console/issuers/{disabled trusted_issuer}/enable", looks=ADMIN, sends=ADMIN),
    Address(path="/console/issuers/{trusted_issuer}/remove", looks=ADMIN, sends=ADMIN),
    Address(path="/console/issuers/{trusted_issuer}/refresh", sends=ADMIN, changes=False),
    Address(path="/console/issuers/{trusted_issuer}/check", sends=ADMIN, changes=False),
    Address(path="/console/issuers/{trusted_issuer}/try", looks=OPERATOR, sends=OPERATOR, typed={"token": "{mark}"}),
    Address(path="/console/issuers/{trusted_issuer}/bind", sends=OPERATOR, changes=False),
    Address(
        path="/console/activity",
        looks=VIEWER,
        query="what={mark}&client={mark}&delegation={mark}&by={mark}&reason={mark}&address={mark}&request_id={mark}"
        "&jti={mark}&range={mark}&since={mark}&until={mark}",
    ),
    Address(path="/console/activity/stream", looks=VIEWER),
    Address(path="/console/activity/export.{form}", looks=VIEWER),
    Address(
        path="/console/activity/end-token", looks=OPERATOR, sends=OPERATOR, typed={"token": "{jti}"}, changes=False
    ),
    Address(
        path="/console/activity/{issued event}/end-token", looks=OPERATOR, sends=OPERATOR, typed={"reason": "{mark}"}
    ),
    Address(path="/console/activity/{event}", looks=VIEWER),
    Address(path="/console/keys", looks=VIEWER),
    Address(path="/console/keys/{kid}/revoke", looks=ADMIN, sends=ADMIN, typed={"reason": "{mark}"}),
    Address(path="/console/keys/rotate", looks=ADMIN, sends=ADMIN, typed={"force": "yes"}),
    Address(path="/console/administrators", looks=VIEWER),
    Address(
        path="/console/administrators/invite",
        looks=ADMIN,
        sends=ADMIN,
        typed={"name": "New", "email": "new@example.com", "role": "viewer"},
    ),
    Address(
        path="/console/administrators/keys/new", looks=ADMIN, sends=ADMIN, typed={"name": "New key", "role": "viewer"}
    ),
    Address(path="/console/administrators/keys/{key}/revoke", looks=ADMIN, sends=ADMIN),
    Address(path="/console/administrators/keys/{key principal}/grants", looks=ADMIN, sends=ADMIN),
    Address(path="/console/administrators/{person principal}/grants", looks=ADMIN, sends=ADMIN),
    Address(path="/console/administrators/{administrator}", looks=VIEWER, sends=ADMIN, typed={"name": "Other"}),
    Address(path="/console/administrators/{administrator}/reset", looks=ADMIN, sends=ADMIN),
    Address(path="/console/administrators/{administrator}/reset-second-factor", looks=ADMIN, sends=ADMIN),
    Address(path="/console/administrators/{administrator}/disable", looks=ADMIN, sends=ADMIN),
    Address(path="/console/administrators/{disabled administrator}/enable", sends=ADMIN),
    Address(path="/console/administrators/{administrator}/end-sessions", looks=ADMIN, sends=ADMIN),
    Address(path="/console/settings", looks=ADMIN, query="text={mark}&changed={mark}"),
)
"""In this order each can be sent once: what one ends, none after it needs."""


def routes_of(app: Starlette) -> set[tuple[str, str]]:
    """The console's routes, as pairs of method and pattern."""
    routes = [each for each in app.routes if isinstance(each, Route)]
    ours = [each for each in routes if each.path == "/" or each.path.startswith("/console")]
    return {(method, each.path) for each in ours for method in each.methods or () if method != "HEAD"}


def address_of(path: str) -> Address:
    """The address that this path is an example of; of several, the one that leaves least open."""
    found = [each for each in ADDRESSES if re.fullmatch(_as_expression(each.pattern), path)]
    return min(found, key=lambda each: ("path:path" in each.path, each.path.count("{")))


def _as_expression(pattern: str) -> str:
    parts = re.split(r"(\{[^}]+\})", pattern)
    return "".join(".*" if part == "{path:path}" else "[^/]+" if "{" in part else re.escape(part) for part in parts)


# What addresses that somebody only looks at may have in common: no look at one changes another.
SHARED = {"api", "client", "delegation", "event", "issued event", "jti", "key", "mark", "proof", "role"} | {
    *("administrator", "credential", "trusted_issuer"),
}


class Company:
    """Makes what an address needs to lead somewhere. `mark` is part of every text that can hold it."""

    def __init__(self, operator: TestClient, mark: str = "", *, password: str = "", session: str = "") -> None:
        self.operator, self.mark, self.password, self.session = operator, mark, password, session
        self.numbers = count(1)
        self._shared = next(self.numbers), dict[str, Any]()

    def example(self, address: Address) -> Example:
        """Where the address leads, this time: to things of its own, which a form may change."""
        return Example(self, address, next(self.numbers), {})

    def example_to_look_at(self, address: Address) -> Example:
        """Where the address leads, to things that others look at too, if it needs no particular ones."""
        named = set(re.findall(_NAMED, address.path + address.query))
        return Example(self, address, *self._shared) if named <= SHARED else self.example(address)

    def post(self, noun: str, **what: Any) -> dict[str, Any]:
        """Ask the admin API for something new, or for a change."""
        answer = self.operator.post(f"{API}/{noun}", json=what or None)
        assert answer.is_success, (noun, answer.text)
        made: dict[str, Any] = answer.json()
        return made


class Example:
    """One address filled in. What it names is made when it is first asked for."""

    def __init__(self, company: Company, address: Address, number: int, made: dict[str, Any]) -> None:
        self._company, self._address, self._number, self._made = company, address, number, made

    @property
    def path(self) -> str:
        """Where to send a form."""
        return self._filled(self._address.path)

    @property
    def way(self) -> str:
        """What to open: the path with its query; what only has the mark is left out where there is none."""
        asked = [each for each in self._address.query.split("&") if self._company.mark or "={mark}" not in each]
        query = self._filled("&".join(asked), quote)
        return f"{self.path}?{query}" if query else self.path

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What is sent: the form that stands there for somebody who may, with what is typed over it."""
        filled = {
            name: [self._filled(each) for each in ([typed] if isinstance(typed, str) else typed)]
            for name, typed in self._address.typed.items()
        }
        kept = [(name, value) for name, value in self._form() if name not in filled]
        return kept + [(name, each) for name, values in filled.items() for each in values]

    @property
    def body(self) -> str:
        """The same as a browser sends it."""
        return urlencode(self.pairs)

    def _form(self) -> list[tuple[str, str]]:
        if not (self._address.looks and self._address.sends):
            return []
        page = get(self._company.operator, self.way)
        found = [each for each in page.forms if not each.of_the_frame]
        here = [each for each in found if each.action.partition("?")[0] == self.path]
        return next((each.fields for each in here or found), [])

    def _filled(self, text: str, written: Callable[[str], str] = str) -> str:
        return re.sub(_NAMED, lambda found: written(self._named(found[1])), text)

    def _named(self, what: str) -> str:
        if what not in self._made:
            made = getattr(self, "_new_" + re.sub(r"[ :]", "_", what))()
            self._made[what] = made
        return str(self._made[what])

    def _text(self, name: str) -> str:
        """Something that people type, with the mark in it."""
        return f"{name} {self._number} {self._company.mark}".strip()

    def _new_mark(self) -> str:
        return self._company.mark or "anything"

    def _new_api(self) -> str:
        action = {"action": "customers:read", "description": self._text("Read")}
        names = {"name": self._text("API"), "slug": f"api-{self._number}", "description": self._text("For")}
        slug: str = self._company.post(
            "apis", **names, identifier=f"https://api-{self._number}.example.com/'&(a);b", actions=[action]
        )["slug"]
        return slug

    def _new_credential(self) -> str:
        made = self._company.post(f"apis/{self._named('api')}/credentials", name=self._text("Credential"))
        return str(made["id"])

    def _new_role(self) -> str:
        self._named("api")
        names = {"name": self._text("Role"), "slug": f"role-{self._number}", "description": self._text("For")}
        slug: str = self._company.post("roles", **names, actions=["customers:read", "customers:delete"])["slug"]
        return slug

    _new_idle_role = _new_role

    def _new_trusted_issuer(self) -> str:
        names = {"name": self._text("Cluster"), "slug": f"cluster-{self._number}"}
        keys = {"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": f"kid {self._company.mark}".strip()}]}
        what = {"kind": "kubernetes", "issuer": f"https://cluster-{self._number}.example.com", "keys_from": "given"}
        slug: str = self._company.post("issuers", **names, **what, given_keys=keys)["slug"]
        return slug

    def _new_disabled_trusted_issuer(self) -> str:
        slug = self._named("trusted_issuer")
        self._company.post(f"issuers/{slug}/disable")
        return slug

    def _new_client(self) -> str:
        """An unattested agent with a second proof and a delegation: it has asked for tokens, and got some."""
        door, number = self._company.operator, self._number
        mark = self._named("mark")
        names = {"name": self._text("Agent"), "slug": f"agent-{number}", "description": self._text("For")}
        whose = {"owner": self._text("Owner"), "labels": {"team": mark}}
        made = self._company.post("clients", **names, **whose, platform="unattested")
        client_id: str = made["client_id"]
        self._made["client"] = client_id
        proof = {"platform": "docker", "docker-key": "docker:label:app", "docker-value": mark}
        added = door.post(f"/console/clients/{client_id}/proofs/add", content=urlencode(proof), headers=FORM)
        assert added.status_code == 200, added.text
        self._named("delegation")
        token = {"client_id": client_id}
        for asked in ({}, {"scope": f"customers:{mark}"}, {"resource": mark}):
            door.get("/authsec/uflow/sdk/delegation-token", params=token | asked)
        return client_id

    def _new_secretive_client(self) -> str:
        client_id = self._named("client")
        self._company.post(f"clients/{client_id}/proofs", platform="secret")
        return client_id

    def _new_proof(self) -> str:
        found = self._company.operator.get(f"{API}/clients/{self._named('client')}").json()
        proof_id: str = found["proofs"][-1]["id"]
        return proof_id

    def _new_unbound_proof(self) -> str:
        """A proof of a pod, which waits for its cluster."""
        pod = {"key": "k8s:ns", "value": "production"}
        made = self._company.post(f"clients/{self._named('client')}/proofs", platform="kubernetes", selectors=[pod])
        return next(
            str(proof["id"]) for proof in made["proofs"] if pod["key"] in {each["key"] for each in proof["selectors"]}
        )

    def _new_enrolment(self) -> str:
        return str(self._company.post(f"clients/{self._named('client')}/enrolments")["id"])

    def _new_delegation(self) -> str:
        what = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ["customers:read"]}
        said = {"owner": self._text("Owner"), "description": self._text("For")}
        role, client = self._named("role"), self._named("client")
        if "delegation" in self._made:  # the client has come with one
            return str(self._made["delegation"])
        audiences = [f"api-{self._number}"]
        made = self._company.post("delegations", role=role, client=client, audiences=audiences, **what, **said)
        return str(made["id"])

    def _new_disabled_client(self) -> str:
        client_id = self._named("client")
        self._company.post(f"clients/{client_id}/disable")
        return client_id

    def _new_disabled_delegation(self) -> str:
        delegation_id = self._named("delegation")
        self._company.post(f"delegations/{delegation_id}/disable")
        return delegation_id

    def _invitation(self) -> dict[str, Any]:
        if "invitation" not in self._made:
            mark = "'&{{7*7}}`" if self._company.mark else ""  # what an address may hold of it
            email = f"person{mark}{self._number}@example.com"
            invited = self._company.post("administrators", name=self._text("Person"), email=email, role=VIEWER)
            self._made["invitation"] = invited
        found: dict[str, Any] = self._made["invitation"]
        return found

    def _new_administrator(self) -> str:
        return str(self._invitation()["id"])

    def _new_disabled_administrator(self) -> str:
        administrator_id = self._named("administrator")
        self._company.post(f"administrators/{administrator_id}/disable")
        return administrator_id

    def _new_code(self) -> str:
        return str(self._invitation()["link"]["path"]).partition("code=")[2]

    def _new_key(self) -> str:
        return str(self._company.post("admin-keys", name=self._text("Key"), role=VIEWER)["id"])

    def _new_event(self) -> str:
        self._named("client")
        newest = self._company.operator.get(f"{API}/events", params={"limit": 1}).json()["items"][0]
        return str(newest["id"])

    def _issued(self) -> dict[str, Any]:
        """The event of the client's newest token."""
        self._named("client")
        newest = self._company.operator.get(f"{API}/events", params={"limit": 20}).json()["items"]
        return next(each for each in newest if each["kind"] == "token.issued")

    def _new_issued_event(self) -> str:
        return str(self._issued()["id"])

    def _new_jti(self) -> str:
        return str(self._issued()["jti"])

    def _new_kid(self) -> str:
        return str(self._issued()["kid"])

    def _new_key_principal(self) -> str:
        return self._named("key")

    def _new_person_principal(self) -> str:
        return self._named("administrator")

    def _new_session(self) -> str:
        return self._company.session

    def _new_password(self) -> str:
        return self._company.password

    def _new_path_path(self) -> str:
        return "nowhere"

    def _new_version(self) -> str:
        return "any"

    def _new_name(self) -> str:
        return "console.css"

    def _new_form(self) -> str:
        return "csv"
