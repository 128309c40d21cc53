"""Show the audit log, and check that the model received no token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from authsec_demo.administrator import Administrator
from authsec_demo.audit_table import audit_table
from authsec_demo.evidence import Tap, Transcript
from authsec_demo.stage import Stage, check

_MUST_BE_THERE = (
    ("client.created", ""),
    ("delegation.created", ""),
    ("token.issued", ""),
    ("token.refused", "attestation_required"),
    ("delegation.revoked", ""),
    ("token.refused", "delegation_ended"),
)


def audit(stage: Stage, admin: Administrator) -> None:
    """Print the events that the authority recorded during this demo, and check that none is missing."""
    why = "AuthSec records each token and each change durably, before it answers."
    with stage.step("The audit log", why):
        show_events(stage, admin.events(), _MUST_BE_THERE)


def show_events(stage: Stage, events: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[str, str]]) -> None:
    """Print a table of the events. Each pair in `wanted` is the kind and the reason of an event.

    Raises `StepFailed` if a wanted pair is missing from the events.
    """
    there = {(str(event["kind"]), str(event["reason"])) for event in events}
    missing = [" ".join(each).strip() for each in wanted if each not in there]
    stage.show(audit_table(events))
    stage.note("Refusals of callers without a proof are combined into one event for each minute.")
    check(not missing, expected=f"also {', '.join(missing)}", came=f"{len(events)} other events")
    stage.fact("recorded", f"{len(events)} events, each written before the answer was given")


def count_tokens(stage: Stage, transcript: Transcript, tap: Tap, proofs: Collection[str] = ()) -> None:
    """Check that no request to the model contains a token that the API received.

    `proofs` are more secrets that no request may contain, such as the token of a pod.
    """
    why = "Every complete request was searched for tokens: history, results and tools."
    with stage.step("What the model saw", why):
        tokens, messages = tap.tokens | frozenset(proofs), len(transcript)
        check(bool(tokens and messages), expected="tokens and messages", came=f"{len(tokens)} and {messages}")
        found = transcript.revealing(tokens)
        check(found == 0, expected="no token in any message", came=f"a token in {found} of {messages} messages")
        stage.fact("model", f"token found in 0 of {messages} messages to the model")
