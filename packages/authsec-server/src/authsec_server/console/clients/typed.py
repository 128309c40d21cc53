"""What a person has typed into a form about a client, kept to be shown again, and what it asks the room for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authsec_server.clients.model import Changes, Client, ClientKind, Onboarding
from authsec_server.console.clients.typed_proof import TypedProof, typed_proof
from authsec_server.console.forms import Form
from authsec_server.failures import Conflict, Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedClient:
    """The form "Onboard New Client"."""

    kind: str = ClientKind.AI_AGENT
    name: str = ""
    proof: TypedProof = field(default_factory=TypedProof)
    slug: str = ""
    owner: str = ""
    description: str = ""
    labels: str = ""

    @property
    def has_details(self) -> bool:
        """Whether any of the optional details is filled in."""
        return bool(self.slug or self.owner or self.description or self.labels)

    def at_field(self, problem: Invalid | Conflict) -> Invalid | Conflict:
        """The problem at the field that a person sees: that of a slug which the name makes is the name's."""
        if isinstance(problem, Conflict) and problem.field == "slug" and not self.slug:
            return Conflict(problem.message, "Give this one another name, or a slug of its own.", field="name")
        return at_field(problem)

    def onboarding(self) -> Onboarding:
        """What is asked for. Raises `Invalid` where the form itself cannot be understood."""
        return Onboarding(
            name=self.name,
            kind=parse_kind(self.kind),
            platform=self.proof.chosen(),
            selectors=self.proof.selectors,
            public_key=self.proof.asked_key,
            source=self.proof.source,
            slug=self.slug or None,
            owner=self.owner or None,
            description=self.description,
            labels=parse_label_lines(self.labels),
        )


def typed_client(form: Form) -> TypedClient:
    """The form as it was filled in."""
    return TypedClient(
        kind=form.text("kind", ClientKind.AI_AGENT),
        name=form.text("name"),
        proof=typed_proof(form),
        slug=form.text("slug"),
        owner=form.text("owner"),
        description=form.text("description").replace("\r\n", "\n"),
        labels=form.text("labels"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedDetails:
    """The form that edits a client: what describes it. `revision` is the one that the editor had read."""

    name: str
    slug: str
    owner: str
    description: str
    labels: str
    revision: int

    def changes(self) -> Changes:
        """What is asked for. Raises `Invalid` where the form itself cannot be understood."""
        return Changes(
            name=self.name,
            slug=self.slug,
            owner=self.owner,
            description=self.description,
            labels=parse_label_lines(self.labels),
        )


def typed_details(form: Form) -> TypedDetails:
    """The form as it was filled in."""
    return TypedDetails(
        name=form.text("name"),
        slug=form.text("slug"),
        owner=form.text("owner"),
        description=form.text("description").replace("\r\n", "\n"),
        labels=form.text("labels").replace("\r\n", "\n"),
        revision=form.number("revision"),
    )


def stored_details(client: Client) -> TypedDetails:
    """The form as it would be filled in to leave the client as it is."""
    return TypedDetails(
        name=client.name,
        slug=client.slug,
        owner=client.owner,
        description=client.description,
        labels=label_lines(client.labels),
        revision=client.revision,
    )


def parse_kind(text: str) -> ClientKind:
    """What is onboarded. Raises `Invalid`."""
    try:
        return ClientKind(text)
    except ValueError:
        raise Invalid("kind", "Choose AI Agent or MCP Server.") from None


def parse_label_lines(text: str) -> dict[str, str]:
    """`name=value`, one a line. Raises `Invalid`."""
    labels: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, joint, value = (part.strip() for part in line.partition("="))
        if not joint:
            raise Invalid("labels", f"The line {line[:80]!r} is no label.", "Write name=value, one label a line.")
        if name in labels:
            raise Invalid("labels", f"The label {name[:80]!r} is given twice.", "Give each label once.")
        labels[name] = value
    return labels


def label_lines(labels: Mapping[str, str]) -> str:
    """The labels as the form takes them."""
    return "\n".join(f"{name}={value}" for name, value in labels.items())


def at_field(problem: Invalid | Conflict) -> Invalid | Conflict:
    """The problem at the field that a person sees: single rows and labels stand in one field each."""
    if isinstance(problem, Conflict):
        return problem
    return Invalid(problem.field.partition(".")[0], problem.message, problem.remedy)
