"""Show the audit log: how the authority verified each selector, and why it refused other callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from authsec_demo.administrator import Administrator
from authsec_demo.in_cluster.registering import PROVED_BY, selector_table
from authsec_demo.records import show_events
from authsec_demo.stage import Stage, check

MUST_BE_THERE: Final = (
    ("issuer.created", ""),
    ("client.created", ""),
    ("delegation.created", ""),
    ("token.issued", ""),
    ("token.refused", "selectors_mismatch"),
    ("token.refused", "attestation_required"),
    ("enrolment.made", ""),
    ("proof.enrolled", ""),
    ("token.refused", "attestation_invalid"),
)
_CLOSEST: Final = "service account is `reporting-sa`, registered `customer-support-sa`"

Event = Mapping[str, Any]


def audit(stage: Stage, admin: Administrator) -> None:
    """Print the audit events of this demo, and check them.

    The checks include how each selector was verified, and how a refused pod differed from the registered agent.
    """
    why = "Which requests were accepted, on which proof; which were refused, and what differed."
    with stage.step("The audit log", why):
        events = admin.events()
        show_events(stage, events, MUST_BE_THERE)
        _show_how_it_was_proved(stage, events)
        _show_what_differed(stage, events)


def _show_how_it_was_proved(stage: Stage, events: Sequence[Event]) -> None:
    issued = next(_details(events, "token.issued", "validation"), {})
    found = (issued.get("validation"), issued.get("proved_by"))
    check(found == ("token_review", PROVED_BY), expected=f"token_review, {PROVED_BY}", came=str(found))
    stage.fact("the pod", f"proved by {issued['trusted_issuer']['name']}, which reviewed its token:")
    stage.show(selector_table(issued["proved_by"]))
    enrolled = next(_details(events, "token.issued", "enrolled"), {})
    check(bool(enrolled), expected="a token of the enrolled laptop", came="none")
    stage.fact("the laptop", f"{enrolled['attestation']}, enrolled: always marked in amber")


def _show_what_differed(stage: Stage, events: Sequence[Event]) -> None:
    miss = next(_details(events, "token.refused", "miss"), {}).get("miss", {})
    sentence = str(miss.get("sentence", ""))
    check(_CLOSEST in sentence, expected=_CLOSEST, came=sentence or "nothing")
    stage.fact("the other pod", f"closest miss: {sentence}")


def _details(events: Sequence[Event], kind: str, having: str) -> Iterator[Mapping[str, Any]]:
    """Yield the `detail` of each event of this kind, if the detail has the member `having`."""
    return (each["detail"] for each in events if each["kind"] == kind and having in each["detail"])
