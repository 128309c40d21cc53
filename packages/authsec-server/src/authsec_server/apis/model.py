"""Protected APIs, their actions, their identifiers (the audiences of tokens), and their credentials. No I/O.

An API identifies itself with a credential when it asks the authority about a token. A credential has no other
use: its holder cannot administer anything, and cannot exchange it for a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from authsec_server.failures import FailureList, Invalid
from authsec_server.keys.model import Algorithm, parse_algorithm
from authsec_server.naming import name, quoted, text
from authsec_server.revisions import Editable, Fields

MAX_IDENTIFIER = 255
MAX_ACTIONS = 200
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REGISTERED_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,126}")
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")  # RFC 3986 section 2, without '#'
_ACTION_FORM = (
    "An action has the form resource:action, with lower-case letters, digits, '.', '_' and '-', e.g. customers:read."
)


class ApiKind(StrEnum):
    """The kind of a protected resource."""

    API = "api"
    MCP_SERVER = "mcp_server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action, and the API's description of what the action does."""

    action: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A protected resource. `identifier` is its audience (RFC 8707 section 2): a URL or a registered name.

    `signing_algorithm` signs the tokens for this audience.
    """

    id: str
    slug: str
    name: str
    kind: ApiKind
    identifier: str
    description: str = ""
    signing_algorithm: Algorithm = Algorithm.RS256
    actions: tuple[Action, ...] = ()  # sorted
    created_at: datetime
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The meaning of an action at one API."""

    api_id: str
    api_name: str
    description: str


def parse_action(text: str) -> str:
    """Return `text` if it is a valid action. Raises `Invalid` with the problem in the message."""
    resource, colon, verb = text.partition(":")
    if _PART.fullmatch(resource) and colon and _PART.fullmatch(verb):
        return text
    raise Invalid("action", f"{quoted(text)} is not an action: {_fault(text)}.", _ACTION_FORM)


def _fault(text: str) -> str:
    if "*" in text:
        return "wildcards are not supported; name each action"
    if "," in text:
        return "a comma does not separate actions"
    if text.count(":") != 1:
        return "it has more than one colon" if ":" in text else "it has no colon"
    resource, _, verb = text.partition(":")
    return _fault_of_part(verb, "action") if _PART.fullmatch(resource) else _fault_of_part(resource, "resource")


def _fault_of_part(part: str, which: str) -> str:
    if not part:
        return f"its {which} part is empty"
    if part != part.lower():
        return f"its {which} part has upper-case letters"
    if len(part) > 63:
        return f"its {which} part is longer than 63 characters"
    if not re.match(r"[a-z0-9]", part):
        return f"its {which} part must begin with a letter or digit"
    return f"its {which} part has characters that are not allowed"


def parse_described(actions: Iterable[Action]) -> tuple[Action, ...]:
    """Check the actions of an API and return them sorted.

    Raises `Invalid`, which names the position of the wrong action.
    """
    problems, parsed = FailureList(), dict[str, Action]()
    for index, each in enumerate(actions):
        field = f"actions.{index}"
        try:
            parse_action(each.action)
        except Invalid as error:
            problems.add(Invalid(f"{field}.action", error.message, error.remedy))
        if each.action in parsed:
            twice = f"{each.action} is described twice."
            problems.add(Invalid(f"{field}.action", twice, "Describe each action once."))
        with problems.collect():
            description = name(f"{field}.description", each.description)
            parsed[each.action] = Action(action=each.action, description=description)
    problems.raise_all()
    if len(parsed) > MAX_ACTIONS:
        raise Invalid("actions", f"There are more than {MAX_ACTIONS} actions.")
    return tuple(parsed[action] for action in sorted(parsed))


def parse_identifier(text: str, *, field: str = "identifier") -> str:
    """Return `text` if it is a valid audience. Raises `Invalid` for `field`.

    A valid audience is an absolute https or http URL without a fragment, or a registered name. Audiences are
    compared character by character. So only one spelling of a URL is accepted, with scheme and host in lower
    case.
    """
    if not text:
        raise Invalid(
            field, "The audience must not be empty.", "e.g. https://api.example.com/customers or customers-api"
        )
    if len(text) > MAX_IDENTIFIER:
        raise Invalid(field, f"{field} must have at most {MAX_IDENTIFIER} characters.")
    if _REGISTERED_NAME.fullmatch(text):
        return text
    if fault := _url_fault(text):
        raise Invalid(
            field,
            f"{quoted(text)} is not an audience: {fault}.",
            "e.g. https://api.example.com/customers or customers-api",
        )
    return text


def _url_fault(text: str) -> str:
    if "://" not in text:
        return "it is neither a URL nor a name of lower-case letters, digits, '.', '_' and '-'"
    if "#" in text:
        return "the URL of an audience must not have a fragment (RFC 8707 section 2)"
    if not _URI_CHARACTERS.fullmatch(text):
        return "it has characters that are not allowed in a URL"
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises `ValueError` for a malformed host or port
    except ValueError:
        return "its host or port is malformed"
    if not text.startswith(("https://", "http://")):
        return "the URL of an audience must be https or http"
    if not parts.hostname or parts.netloc != parts.netloc.lower():
        return "it has no host" if not parts.hostname else "its host must be in lower case"
    return "it has a user name in it" if "@" in parts.netloc else ""


EDITABLE: Fields = {
    "name": Editable(name),
    "identifier": Editable(lambda field, given: parse_identifier(given, field=field)),
    "description": Editable(text),
    "signing_algorithm": Editable(parse_algorithm, plain=str),
    "actions": Editable(
        lambda _, given: parse_described(given), plain=lambda its: {each.action: each.description for each in its}
    ),
}
"""The fields of an API that an edit can change. A new field also needs a column in `store`, a JSON type in `api`,
and inputs in the template `apis/fields.html` and the command line. All other code reads this list."""

GRANTING = ("identifier", "signing_algorithm")
"""The editable fields that decide about authority: which tokens the API may ask about, and their algorithm."""


class CredentialRefusal(StrEnum):
    """The reason why a credential was refused, as the audit log records it."""

    MISSING = "api_credential_missing"
    MALFORMED = "not_an_api_credential"
    UNKNOWN = "api_credential_unknown"
    OF_ANOTHER = "api_credential_of_another"
    EXPIRED = "api_credential_expired"
    REVOKED = "api_credential_revoked"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential without its secret. The secret is shown once and never stored; the table has its hash."""

    id: str
    api_id: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def refusal(self, now: datetime) -> CredentialRefusal | None:
        """Return why the credential is refused at `now`; None if the credential is valid."""
        if self.revoked_at is not None:
            return CredentialRefusal.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return CredentialRefusal.EXPIRED
        return None

    def state(self, now: datetime) -> str:
        """Return the state of the credential: `active`, `expired` or `revoked`."""
        words = {CredentialRefusal.REVOKED: "revoked", CredentialRefusal.EXPIRED: "expired"}
        refusal = self.refusal(now)
        return words[refusal] if refusal else "active"

    def revoked(self, now: datetime) -> Credential:
        """Return a copy of the credential, revoked at `now`."""
        return replace(self, revoked_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The API that holds a credential, with the fields that callers need."""

    api_id: str
    slug: str
    name: str
    identifier: str
    credential: Credential
