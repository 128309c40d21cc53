"""Forms about a client: the typed values, and the request to the service.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from authsec_server.clients.model import (
    EDITABLE,
    Client,
    ClientKind,
    Onboarding,
    Platform,
    parse_platform,
)
from authsec_server.clients.selectors import KEYS, check_selectors, given
from authsec_server.console.clients.selector_fields import Rows, typed_rows
from authsec_server.console.forms import Form, at_typed_slug, placed
from authsec_server.failures import Conflict, FailureList, Invalid
from authsec_server.revisions import checked, plain

BLANK_ROWS = 2  # of an empty form


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedProof:
    """The chosen platform, and the values typed for every platform.

    If a person switches to another platform and back, the form still has the typed values.
    """

    platform: str = ""
    rows: Mapping[str, Rows] = field(default_factory=lambda: {each: _blank(each) for each in KEYS})
    public_key: str = field(default="", repr=False)
    # The id of the chosen trusted issuer for each platform.
    trusted_issuers: Mapping[str, str] = field(default_factory=dict)
    added: str = ""  # the platform that has just got a new row

    def with_row(self, platform: str) -> TypedProof:
        """Return a copy with one more empty row for the platform."""
        if platform not in self.rows:
            return self
        return replace(self, rows={**self.rows, platform: (*self.rows[platform], ("", ""))}, added=platform)

    def chosen(self) -> Platform:
        """Return the chosen platform. Raises `Invalid` if no platform is chosen, or selector rows are wrong."""
        if not self.platform:
            raise Invalid("platform", "Choose the platform that the client runs on.")
        platform = parse_platform(self.platform)
        if platform in KEYS:
            found = check_selectors(platform, self.rows[platform])
            problems = FailureList()
            for index, row in enumerate(found.rows):
                if row.problem:
                    # With a nearest key, the problem suggests it, and the form lists all keys.
                    problems.add(Invalid(f"selectors.{index}", row.problem, "" if row.nearest else row.remedy))
            if found.problem and not problems.fields:
                problems.add(Invalid("selectors", found.problem))
            problems.raise_all()
        return platform

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """Return the non-empty rows of the chosen platform."""
        return given(self.rows.get(self.platform, ()))

    @property
    def trusted_issuer(self) -> str | None:
        """Return the trusted issuer that the person chose for the platform.

        With None, the service uses the only issuer that can prove the selectors.
        """
        return self.trusted_issuers.get(self.platform) or None

    @property
    def asked_key(self) -> str | None:
        """Return the public key if the chosen platform is `key`, else None."""
        return (self.public_key or None) if self.platform == Platform.KEY else None

    @property
    def shown_key(self) -> str:
        """Return the key text that may be sent back to the browser.

        If a person pastes a private key by mistake, the result is empty.
        """
        return "" if "PRIVATE" in self.public_key else self.public_key


def typed_proof(form: Form) -> TypedProof:
    """Read the proof fields of a form."""
    return TypedProof(
        platform=form.text("platform"),
        rows={each: _rows(form, each) for each in KEYS},
        public_key=form.text("public_key"),
        trusted_issuers={each: form.text(f"{each}-trusted-issuer") for each in KEYS},
    )


def _blank(platform: Platform) -> Rows:
    return (("", ""),) * min(BLANK_ROWS, len(KEYS[platform]))


def _rows(form: Form, platform: Platform) -> Rows:
    return typed_rows(form, f"{platform}-") or _blank(platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedClient:
    """The typed values of the form "Onboard New Client"."""

    kind: str = ClientKind.AI_AGENT
    proof: TypedProof = field(default_factory=TypedProof)
    # The fields that `typed_texts` reads.
    texts: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(EDITABLE, ""))

    @property
    def has_details(self) -> bool:
        """Whether any of the optional details is filled in."""
        return any(text for name, text in self.texts.items() if name != "name")

    def at_fields(self, problem: Invalid | Conflict) -> Invalid | Conflict:
        """Move the problem and its others to their form fields.

        If the slug was made from the name, a conflict about the slug appears at the field `name`.
        """
        slug = self.texts.get("slug", "")
        at_slug = partial(at_typed_slug, typed=slug, kind="client", pages="/console/clients")
        return placed(problem, lambda each: at_slug(_at_field(each)), FIELDS)

    def onboarding(self, problems: FailureList) -> Onboarding:
        """Return the onboarding request. Values that cannot be parsed are in `problems`, and not in the request."""
        kind, platform, labels, proof = ClientKind.AI_AGENT, Platform.UNATTESTED, dict[str, str](), TypedProof()
        with problems.collect():
            kind = parse_kind(self.kind)
        with problems.collect():
            platform, proof = self.proof.chosen(), self.proof
        with problems.collect():
            labels = parse_label_lines(self.texts["labels"])
        texts: dict[str, Any] = {**self.texts, "labels": labels}
        texts |= {name: self.texts[name] or None for name in ("slug", "owner")}
        return Onboarding(
            kind=kind,
            platform=platform,
            selectors=proof.selectors,
            public_key=proof.asked_key,
            trusted_issuer=proof.trusted_issuer,
            **texts,
        )


def typed_client(form: Form) -> TypedClient:
    """Read the form "Onboard New Client"."""
    return TypedClient(kind=form.text("kind", ClientKind.AI_AGENT), proof=typed_proof(form), texts=typed_texts(form))


def typed_texts(form: Form) -> dict[str, str]:
    """Read the fields that describe a client, as typed."""
    return {name: form.text(name).replace("\r\n", "\n") for name in EDITABLE}


def stored_texts(client: Client) -> dict[str, str]:
    """Return the fields that describe the stored client, as a person would type them."""
    return {**plain(EDITABLE, client), "labels": label_lines(client.labels)}


def parse_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the typed fields as unverified values for the service.

    Raises `Invalid` if the labels cannot be parsed. The failure has the problems of the other fields.
    """
    problems, labels = FailureList(), dict[str, str]()
    with problems.collect():
        labels = parse_label_lines(texts["labels"])
    if problems.fields:
        with problems.collect():
            checked(EDITABLE, {name: text for name, text in texts.items() if name != "labels"})
    problems.raise_all()
    return {**texts, "labels": labels}


def parse_kind(text: str) -> ClientKind:
    """Parse the kind of client. Raises `Invalid`."""
    try:
        return ClientKind(text)
    except ValueError:
        raise Invalid("kind", "Choose AI Agent or MCP Server.") from None


def parse_label_lines(text: str) -> dict[str, str]:
    """Parse labels, one `name=value` on each line. Raises `Invalid`."""
    labels: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, joint, value = (part.strip() for part in line.partition("="))
        if not joint:
            raise Invalid("labels", f"The line {line[:80]!r} is not a label.", "Write one name=value on each line.")
        if name in labels:
            raise Invalid("labels", f"The label {name[:80]!r} appears twice.", "Enter each label once.")
        labels[name] = value
    return labels


def label_lines(labels: Mapping[str, str]) -> str:
    """Format the labels for the form: one `name=value` on each line."""
    return "\n".join(f"{name}={value}" for name, value in labels.items())


FIELDS = ("kind", "name", "platform", "selectors", "trusted_issuer", "public_key", *EDITABLE, "expires_at")
"""The fields of the forms, in their order."""


def at_fields(problem: Invalid | Conflict) -> Invalid | Conflict:
    """Move the problem and its others to fields of the form. The form has one field for all labels."""
    return placed(problem, _at_field, FIELDS)


def _at_field(problem: Invalid | Conflict) -> Invalid | Conflict:
    if isinstance(problem, Conflict) or problem.field.startswith("selectors."):
        return problem
    return Invalid(problem.field.partition(".")[0], problem.message, problem.remedy)
