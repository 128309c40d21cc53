"""What must hold after any fault. Each check compares what clients saw with the audit log and names the violations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .observations import Change, Observations, Token
from .verifiers import LATE, STALE_AFTER

Event = Mapping[str, Any]
PROMPT: Final = 8.0  # seconds to hear of a revocation while no fault is near; a busy machine needs most of it
UNCERTAIN: Final = 60.0  # seconds in which a server may still make a change that it did not acknowledge
_CHANGES: Final = ("client.", "delegation.", "role.", "token.revoked")
_EVENT_OF: Final = {"role.widened": "role.edited"}

TITLES: Final = {
    "unrecorded": "token without a record",
    "lost": "acknowledged change lost",
    "after": "token after a revocation",
    "accepted": "revoked token accepted",
    "errors": "answer 5xx other than 503",
    "stuck": "change held up by a frozen server",
    "partial": "change made in part",
    "lasting": "process outlives SIGTERM",
    "older": "older database issues",
    "log": "audit log does not verify",
    "recovery": "no recovery",
}


def violations(seen: Observations, log: Sequence[Event], enabled: Mapping[str, bool]) -> dict[str, list[str]]:
    """All violations by invariant. `enabled` says of each client what the admin API says after the run."""
    return {
        "unrecorded": list(unrecorded(seen, log)),
        "lost": [*lost_changes(seen, log), *lost_states(log, enabled)],
        "after": [*out_of_order(log), *issued_while_disabled(seen)],
        "accepted": [*accepted_late(seen, log), *accepted_again(seen), *accepted_lost(seen), *seen.stale_accepts],
        "errors": list(seen.unexpected),
        "stuck": list(seen.stuck),
        "partial": list(seen.partial),
        "lasting": list(seen.lasting),
        "older": list(seen.unasked),
    }


def unrecorded(seen: Observations, log: Iterable[Event]) -> Iterable[str]:
    """Tokens that an agent received without a `token.issued` event of this very token."""
    recorded = {event["jti"]: event["token_sha256"] for event in log if event["kind"] == "token.issued"}
    for token in seen.tokens:
        if recorded.get(token.jti) != token.digest and not seen.is_lost(token.received):
            yield f"token {token.jti} of client {token.client} has no record"


def lost_changes(seen: Observations, log: Sequence[Event]) -> Iterable[str]:
    """Acknowledged changes without an event of the request."""
    recorded = {(event["request_id"], event["kind"]) for event in log}
    earlier: dict[str, list[Change]] = {}
    for change in seen.changes:
        before = earlier.setdefault(change.subject, [])
        before.append(change)
        if change.answered is None or seen.is_lost(change.answered):
            continue
        if (change.request_id, _EVENT_OF.get(change.kind, change.kind)) in recorded or _is_repeated(change, log):
            continue
        if any(_may_have_done(each, change, seen) for each in before[:-1]):
            continue
        yield f"{change.kind} of {change.subject}, request {change.request_id}, is not in the audit log"


def _is_repeated(change: Change, log: Iterable[Event]) -> bool:
    """Whether the change revokes what was revoked before, so that there was nothing to record."""
    return change.kind == "delegation.revoked" and any(
        event["kind"] == change.kind and change.subject in {each["id"] for each in event["delegations"]}
        for event in log
    )


def _may_have_done(earlier: Change, change: Change, seen: Observations) -> bool:
    """Whether an earlier request, not acknowledged or undone by a restore, leaves this one with nothing to change."""
    if earlier.answered is None:
        return change.sent - earlier.sent < UNCERTAIN
    return seen.is_lost(earlier.answered)


def lost_states(log: Iterable[Event], enabled: Mapping[str, bool]) -> Iterable[str]:
    """Clients that are not as their last event left them."""
    last = {}
    for event in log:
        if event["kind"] in {"client.created", "client.enabled", "client.disabled"}:
            last[event["client"]["id"]] = event["kind"] != "client.disabled"
    for client, state in enabled.items():
        if last.get(client) is not state:
            yield f"client {client} is {'enabled' if state else 'disabled'}, and the audit log says otherwise"


def out_of_order(log: Sequence[Event]) -> Iterable[str]:
    """Issued tokens in the log that a change before them covers."""
    version, disabled, revoked = 0, set(), set()
    for event in sorted(log, key=lambda event: int(event["id"])):
        kind = event["kind"]
        client = (event["client"] or {}).get("id")
        delegations = {each["id"] for each in event["delegations"]}
        if kind == "token.issued":
            if event["authority_version"] < version:
                yield f"event {event['id']} was decided before a change that precedes it"
            if client in disabled:
                yield f"event {event['id']} is a token of a disabled client"
            if delegations & revoked:
                yield f"event {event['id']} is a token of a revoked delegation"
        elif kind.startswith(_CHANGES) and event["authority_version"] is not None:
            version = max(version, event["authority_version"])
            if kind == "client.disabled":
                disabled.add(client)
            elif kind == "client.enabled":
                disabled.discard(client)
            elif kind == "delegation.revoked":
                revoked |= delegations


def issued_while_disabled(seen: Observations) -> Iterable[str]:
    """Tokens that were asked for after the acknowledgement of `disable` and received before any `enable` was sent."""
    by_client: dict[str, list[Token]] = {}
    for token in seen.tokens:
        by_client.setdefault(token.client, []).append(token)
    for change in seen.changes:
        if change.kind != "client.disabled" or change.answered is None or seen.is_lost(change.answered):
            continue
        until = min([*_enabling(seen, change), *(window.end for window in seen.lost if window.end > change.answered)],
                    default=math.inf)  # fmt: skip
        for token in by_client.get(change.subject, ()):
            if change.answered < token.sent and token.received < until:
                yield f"token {token.jti} was given to client {change.subject} while the client was disabled"


def _enabling(seen: Observations, disabled: Change) -> Iterable[float]:
    """From when on the client may be enabled again, as far as the administrator can know."""
    assert disabled.answered is not None
    for change in seen.changes:
        if change.kind != "client.enabled" or change.subject != disabled.subject:
            continue
        if change.sent > disabled.answered:
            yield change.sent
        elif change.uncertain and change.sent > disabled.answered - UNCERTAIN:
            yield disabled.answered


def accepted_late(seen: Observations, log: Iterable[Event]) -> Iterable[str]:
    """Revoked tokens that a verifier accepted after the limit: within seconds without a fault, else the stale limit."""
    versions = {event["request_id"]: event["authority_version"] for event in log}
    ended: dict[str, Change] = {}
    tokens = {token.jti: token for token in seen.tokens}
    ends = [change for change in seen.changes if change.answered is not None and versions.get(change.request_id)]
    for token in seen.tokens:
        for change in ends:
            if token.version < versions[change.request_id] and change.covers(token):
                ended[token.jti] = change
                break
    for (verifier, jti), sighting in seen.sightings.items():
        if (change := ended.get(jti)) is None or jti not in tokens:
            continue
        assert change.answered is not None
        if sighting.last_accepted - change.answered > limit(seen, change.answered):
            late = sighting.last_accepted - change.answered
            yield f"API {verifier} accepted token {jti} {late:.1f} s after {change.kind} was acknowledged"


def limit(seen: Observations, answered: float) -> float:
    """Seconds after an acknowledgement in which a verifier may not have heard of the revocation."""
    near = any(window.begin - PROMPT <= answered <= window.end + PROMPT for window in seen.faults)
    return STALE_AFTER + LATE if near else PROMPT


def accepted_again(seen: Observations) -> Iterable[str]:
    """Tokens that a verifier refused as revoked, and accepted later."""
    for (verifier, jti), sighting in seen.sightings.items():
        if sighting.accepted_again:
            yield f"API {verifier} accepted token {jti} again, after a refusal as revoked"


def accepted_lost(seen: Observations) -> Iterable[str]:
    """Tokens from between a backup and the restore that a verifier accepted after the restore."""
    for token in seen.tokens:
        for window in seen.lost:
            if not window.has(token.received):
                continue
            for verifier in {verifier for verifier, _ in seen.sightings}:
                sighting = seen.sightings.get((verifier, token.jti))
                if sighting and sighting.last_accepted > window.end + STALE_AFTER + LATE:
                    yield f"API {verifier} accepted token {token.jti}, of which the restored database knows nothing"


def slowest_refusal(seen: Observations, log: Iterable[Event]) -> float:
    """The longest time from an acknowledgement to the last acceptance, in seconds."""
    versions = {event["request_id"]: event["authority_version"] for event in log}
    longest = 0.0
    accepted = {}
    for (_, jti), sighting in seen.sightings.items():
        accepted[jti] = max(accepted.get(jti, -math.inf), sighting.last_accepted)
    for change in seen.changes:
        version = versions.get(change.request_id)
        if change.answered is None or version is None:
            continue
        for token in seen.tokens:
            if token.version < version and change.covers(token):
                longest = max(longest, accepted.get(token.jti, -math.inf) - change.answered)
    return longest
