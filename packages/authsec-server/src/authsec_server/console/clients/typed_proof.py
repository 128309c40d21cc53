"""How a client is to prove itself, as a person has typed it: the platform, and what each platform asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from authsec_server.clients.model import Platform, parse_platform
from authsec_server.clients.selectors.parsing import KEYS, check_selectors, given
from authsec_server.console.forms import Form
from authsec_server.failures import Invalid

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
    Platform.SPIFFE: (("spiffe:id", "spiffe://example.org/customer-support"),),
    Platform.OIDC: (
        ("github:repository", "example/customer-support"),
        ("github:repository_id", "655361111"),
        ("github:environment", "production"),
    ),
}
"""What the empty rows of a platform suggest; for Kubernetes the published walk-through's example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedProof:
    """One platform, and what was typed for each of them: whoever changes their mind finds everything again."""

    platform: str = ""
    rows: Mapping[str, Rows] = field(default_factory=lambda: {each: _blank(each) for each in KEYS})
    public_key: str = field(default="", repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)  # the trust source chosen for each platform, by its id
    added: str = ""  # the platform that a row has just been added to

    def with_row(self, platform: str) -> TypedProof:
        """The same with one more empty row for that platform."""
        if platform not in self.rows:
            return self
        return replace(self, rows={**self.rows, platform: (*self.rows[platform], ("", ""))}, added=platform)

    def chosen(self) -> Platform:
        """The platform. Raises `Invalid` for none, and for rows of it that are not right yet."""
        if not self.platform:
            raise Invalid("platform", "Choose the platform that the client runs on.")
        platform = parse_platform(self.platform)
        if platform in KEYS:
            checked = check_selectors(platform, self.rows[platform])
            wrong = next((row for row in checked.rows if row.problem), None)
            if wrong:
                raise Invalid(
                    "selectors", wrong.problem, "" if wrong.nearest else wrong.remedy
                )  # the form lists all keys
            if checked.problem:
                raise Invalid("selectors", checked.problem)
        return platform

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """The chosen platform's rows that are not empty."""
        return given(self.rows.get(self.platform, ()))

    @property
    def source(self) -> str | None:
        """The trust source chosen for the platform; None to take the one that fits."""
        return self.sources.get(self.platform) or None

    @property
    def asked_key(self) -> str | None:
        """The key, where the chosen platform takes one."""
        return (self.public_key or None) if self.platform == Platform.KEY else None

    @property
    def shown_key(self) -> str:
        """What may be sent back to the browser: never a private key, which somebody will paste."""
        return "" if "PRIVATE" in self.public_key else self.public_key


def typed_proof(form: Form) -> TypedProof:
    """The part of a form that says how the client proves itself."""
    return TypedProof(
        platform=form.text("platform"),
        rows={each: _rows(form, each) for each in KEYS},
        public_key=form.text("public_key"),
        sources={each: form.text(f"{each}-source") for each in KEYS},
    )


def _blank(platform: Platform) -> Rows:
    return tuple(("", "") for _ in EXAMPLES[platform])


def _rows(form: Form, platform: Platform) -> Rows:
    keys, values = form.all(f"{platform}-key"), form.all(f"{platform}-value")
    if len(keys) != len(values):
        raise Invalid("selectors", "The rows are incomplete.", "Send the form again.")
    return tuple((key.strip(), value.strip()) for key, value in zip(keys, values, strict=True)) or _blank(platform)
