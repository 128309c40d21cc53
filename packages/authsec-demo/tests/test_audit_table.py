"""The audit log as the demo shows it."""

from __future__ import annotations

from typing import Any

from authsec_demo.audit_table import audit_table
from rich.console import Console


def row(**changes: Any) -> list[str]:
    """The cells of one refusal that is counted by the minute, with these changes."""
    event = {
        "at": "2026-11-26T00:02:00Z",
        "kind": "token.refused",
        "principal": None,
        "client": {"id": "1", "name": "Support"},
        "decision": "denied",
        "reason": "attestation_required",
        "count": 1,
        "counted": True,
        "detail": {},
        "delegations": [],
        "roles": [],
        "subject": None,
    }
    console = Console(width=200)
    with console.capture() as captured:
        console.print(audit_table([event | changes]))
    return [cell.strip() for cell in captured.get().splitlines()[1].split("  ") if cell.strip()]


def test_what_is_counted_by_the_minute_says_so_and_claims_no_second() -> None:
    assert row() == ["00:02", "token.refused", "unproved caller", "attestation_required (once)"]
    assert row(count=3)[-1] == "attestation_required (3 times)"


def test_what_is_not_counted_has_its_second() -> None:
    one = row(at="2026-11-26T00:02:11Z", counted=False, reason="delegation_ended")
    assert one == ["00:02:11", "token.refused", "Support", "delegation_ended"]


def test_whoever_proved_to_be_somebody_else_does_not_appear_as_the_agent() -> None:
    assert row(reason="selectors_mismatch")[-2:] == ["another workload", "selectors_mismatch (once)"]
