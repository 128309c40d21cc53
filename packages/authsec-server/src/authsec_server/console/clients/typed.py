"""What a person has typed into a form about a client, kept to be shown again, and what it asks the room for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from authsec_server.clients.model import ClientKind, Onboarding, Platform, parse_platform
from authsec_server.clients.selector_check import check_selectors, given
from authsec_server.clients.selectors import KEYS
from authsec_server.console.forms import Form
from authsec_server.failures import Conflict, Invalid

Rows = Sequence[tuple[str, str]]

EXAMPLES: Mapping[Platform, Rows] = {
    Platform.KUBERNETES: (
        ("k8s:ns", "production"),
        ("k8s:sa", "customer-support-sa"),
        ("k8s:pod-label:app", "customer-support"),
        ("k8s:container-name", "agent"),
    ),
    Platform.DOCKER: (("docker:label:app", "customer-support"), ("docker:image_id", "sha256:…")),
    Platform.UNIX: (("unix:user", "support-agent"), ("unix:path", "/opt/support/agent")),
}
"""What the empty rows of a platform suggest; for Kubernetes the published walk-through's example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedProof:
    """One platform, and what was typed for each of them: whoever changes their mind finds everything again."""

    platform: str = ""
    rows: Mapping[str, Rows] = field(default_factory=lambda: {each: _blank(each) for each in KEYS})
    public_key: str = field(default="", repr=False)

    def with_row(self, platform: str) -> TypedProof:
        """The same with one more empty row for that platform."""
        if platform not in self.rows:
            return self
        return replace(self, rows={**self.rows, platform: (*self.rows[platform], ("", ""))})

    def chosen(self) -> Platform:
        """The platform. Raises `Invalid` for none, and for rows of it that are not right yet."""
        if not self.platform:
            raise Invalid("platform", "Choose the platform that the client runs on.")
        platform = parse_platform(self.platform)
        if platform in KEYS:
            checked = check_selectors(platform, self.rows[platform])
            wrong = next((row for row in checked.rows if row.problem), checked)
            if wrong.problem:
                raise Invalid("selectors", wrong.problem, wrong.remedy)
        return platform

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """The chosen platform's rows that are not empty."""
        return given(self.rows.get(self.platform, ()))

    @property
    def asked_key(self) -> str | None:
        """The key, where the chosen platform takes one."""
        return (self.public_key or None) if self.platform == Platform.KEY else None

    @property
    def shown_key(self) -> str:
        """What may be sent back to the browser: never a private key, which somebody will paste."""
        return "" if "PRIVATE" in self.public_key else self.public_key


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

    def onboarding(self) -> Onboarding:
        """What is asked for. Raises `Invalid` where the form itself cannot be understood."""
        return Onboarding(
            name=self.name,
            kind=parse_kind(self.kind),
            platform=self.proof.chosen(),
            selectors=self.proof.selectors,
            public_key=self.proof.asked_key,
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
        description=form.text("description"),
        labels=form.text("labels"),
    )


def typed_proof(form: Form) -> TypedProof:
    """The part of a form that says how the client proves itself."""
    return TypedProof(
        platform=form.text("platform"),
        rows={each: _rows(form, each) for each in KEYS},
        public_key=form.text("public_key"),
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
    field_of = getattr(problem, "field", "").partition(".")[0]
    return Invalid(field_of, problem.message, problem.remedy) if isinstance(problem, Invalid) else problem


def _blank(platform: Platform) -> Rows:
    return tuple(("", "") for _ in EXAMPLES[platform])


def _rows(form: Form, platform: Platform) -> Rows:
    keys, values = form.all(f"{platform}-key"), form.all(f"{platform}-value")
    if len(keys) != len(values):
        raise Invalid("selectors", "The rows are incomplete.", "Send the form again.")
    return tuple((key.strip(), value.strip()) for key, value in zip(keys, values, strict=True)) or _blank(platform)
