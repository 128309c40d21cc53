"""The fields of a selector row: the dropdown of keys, the parameter of a key, the value; the feedback below the row.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.proof_status import ProofPreview, SelectorStatus, preview_proof
from authsec_server.clients.selector_keys import SelectorKey
from authsec_server.clients.selectors import KEYS, RowCheck, RowState, check_selectors
from authsec_server.console.forms import Form
from authsec_server.failures import Invalid
from authsec_server.issuers.model import Provenance, TrustedIssuer

Rows = Sequence[tuple[str, str]]
"""The key and the value of each row."""

EXAMPLES: Mapping[str, str] = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:": "customer-support",
    "k8s:container-name": "agent",
    "docker:label:": "customer-support",
    "docker:image_id": "sha256:4e2f…",
    "unix:user": "support-agent",
    "unix:path": "/opt/support/agent",
    "spiffe:id": "spiffe://example.org/customer-support",
    "github:repository": "example/customer-support",
    "github:repository_id": "655361111",
    "github:environment": "production",
}
"""Example values of selector keys. For Kubernetes, the examples of the published walk-through."""

PARAMETERS: Mapping[str, str] = {
    "k8s:pod-label:": "Label",
    "k8s:pod-owner:": "Kind",
    "docker:label:": "Label",
    "docker:env:": "Variable",
    "": "Claim",
}
"""The label of the field for the part of a key after the last colon."""

MISSING: Mapping[str, str] = {
    "k8s:pod-label:": "Enter the label's name, for example app.",
    "k8s:pod-owner:": "Enter the owner's kind, for example ReplicaSet.",
    "docker:label:": "Enter the label's name, for example app.",
    "docker:env:": "Enter the variable's name, for example APP.",
}
"""The message for a key whose field for the parameter is empty."""

OTHER_CLAIM = ":"
"""The option of a form for a key that is no preset: the person types the whole key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOption:
    """An option of the dropdown of selector keys. `parameter` labels a field for the rest of the key, or is empty.

    `text` is short, so that no window cuts the chosen option. `title` says what the key identifies.
    """

    value: str
    text: str
    title: str = ""
    parameter: str = ""


def _option(known: SelectorKey) -> KeyOption:
    if not known.key:
        return KeyOption(value=OTHER_CLAIM, text="Other claim…", parameter=PARAMETERS[known.key])
    parameter = PARAMETERS[known.key] if known.parameter else ""
    return KeyOption(value=known.key, text=known.key.rstrip(":"), title=known.identifies, parameter=parameter)


KEY_OPTIONS: Mapping[Platform, Sequence[KeyOption]] = {each: [*map(_option, keys)] for each, keys in KEYS.items()}


def join_key(option: str, parameter: str) -> str:
    """Return the selector key from the chosen option and the text beside it.

    The text beside an option without a parameter is hidden from the person, and ignored. The text may be the whole
    key, as in documents.
    """
    if option == OTHER_CLAIM:
        return parameter.strip() or option
    return f"{option}{parameter.strip().removeprefix(option)}" if option.endswith(":") else option.strip()


def split_key(platform: Platform, key: str) -> tuple[str, str]:
    """Return the option and the parameter that make the key. The option of an unknown key is the key itself."""
    options = KEY_OPTIONS[platform]
    if not key or any(key == each.value for each in options):
        return key, ""
    fitting = next((each.value for each in options if each.parameter and key.startswith(each.value)), "")
    if fitting:
        return fitting, key[len(fitting) :]
    return (OTHER_CLAIM, key) if options[-1].value == OTHER_CLAIM else (key, "")


def typed_rows(form: Form, prefix: str = "") -> Rows:
    """Return the key and the value of each selector row. Raises `Invalid` if a row lacks a field.

    If no row has a parameter, the keys are whole.
    """
    options, values = form.all(f"{prefix}key"), form.all(f"{prefix}value")
    parameters = form.all(f"{prefix}parameter") or [""] * len(options)
    if not len(options) == len(parameters) == len(values):
        raise Invalid("selectors", "Some rows of the form are missing.", "Send the form again.")
    keys = map(join_key, options, parameters)
    return tuple((key, value.strip()) for key, value in zip(keys, values, strict=True))


class Tone(StrEnum):
    """The tone of a feedback text. Each value is a list of CSS classes."""

    PLAIN = "hint"
    GOOD = "hint good-text"
    WARN = "hint warn-text"
    WRONG = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFeedback:
    """The feedback below a selector row. While a person types the key, `meanwhile` replaces an error text.

    The reason: an unfinished key is not an error yet.
    """

    tone: Tone
    text: str
    meanwhile: str

    @property
    def wrong(self) -> bool:
        """Whether the row has an error."""
        return self.tone is Tone.WRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The feedback on each selector row, in the order typed, and a preview of the proof with these rows."""

    preview: ProofPreview
    rows: tuple[RowFeedback, ...]

    @property
    def has_wrong(self) -> bool:
        """Whether any row is wrong."""
        return any(told.wrong for told in self.rows)


def feedback_on(
    platform: Platform, rows: Rows, registered: list[TrustedIssuer], *, named: str, trust_domain: str, judged: bool
) -> Feedback:
    """Return the feedback on the selector rows.

    `judged` is true after the person has sent the form. An unfinished row is then an error.
    """
    check = check_selectors(platform, rows)
    right = [Selector(key=row.key, value=row.value) for row in check.rows if row.state is RowState.OK]
    preview = preview_proof(platform, right, registered, named=named, trust_domain=trust_domain)
    statuses = {status.selector: status for status in preview.selectors}
    told = (
        _row_feedback(platform, row, statuses.get(Selector(key=row.key, value=row.value)), judged) for row in check.rows
    )
    return Feedback(preview=preview, rows=tuple(told))


def _row_feedback(platform: Platform, row: RowCheck, status: SelectorStatus | None, judged: bool) -> RowFeedback:
    meanwhile = _expected(platform, row)
    if row.key in MISSING and not row.value and not judged:  # the key is chosen, and nothing is typed yet
        return RowFeedback(tone=Tone.PLAIN, text=meanwhile, meanwhile=meanwhile)
    if row.state is RowState.WRONG or (judged and row.state is RowState.INCOMPLETE):
        # With a nearest key, the problem suggests it, and the form lists all keys.
        problem = row.problem if row.nearest else f"{row.problem} {row.remedy}".strip()
        problem = MISSING.get(row.key, problem)
        return RowFeedback(tone=Tone.WRONG, text=problem, meanwhile=meanwhile)
    if row.state is not RowState.OK:
        return RowFeedback(tone=Tone.PLAIN, text=meanwhile, meanwhile=meanwhile)
    if status is None:
        return RowFeedback(tone=Tone.PLAIN, text=row.identifies, meanwhile=row.identifies)
    tone, mark = _verdict(status)
    text = f"{mark}{row.identifies} · {status.shown}"
    return RowFeedback(tone=tone, text=text, meanwhile=text)


def _expected(platform: Platform, row: RowCheck) -> str:
    """Return an example, what the key identifies, and the form of the value, or "" for an unknown key."""
    example = EXAMPLES.get(split_key(platform, row.key)[0])
    if not row.identifies:
        return ""
    explained = f"{row.identifies}: {row.value_is}"
    return f"For example {example} · {explained}" if example else explained


def _verdict(status: SelectorStatus) -> tuple[Tone, str]:
    if status.provenance is None:
        return Tone.WARN, ""
    return (Tone.WRONG, "✗ ") if status.provenance is Provenance.NEVER else (Tone.GOOD, "✓ ")
