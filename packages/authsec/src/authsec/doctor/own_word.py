"""What a proof says of itself, without the proof: for whom it was made, until when, and what could be compared with the
selectors on the agent's page.

Nothing of it is verified here, and nothing that could be sent as a proof is shown: no token, no signature, no `jti`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authsec.credentials import Proof
from authsec.credentials.workload_token import WorkloadToken
from authsec.terminal import duration
from authsec.token_report import FACT_WIDTH, fact

_OF_A_JOB: Final = ("repository", "ref", "environment", "job_workflow_ref")  # GitHub Actions
_OF_A_POD: Final = (
    ("k8s:ns", ("namespace",)),
    ("k8s:sa", ("serviceaccount", "name")),
    ("k8s:pod-name", ("pod", "name")),
    ("k8s:node-name", ("node", "name")),
)


def facts_of(proof: Proof, now: int) -> list[str]:
    """Lines that may be shown to anybody."""
    token = _token(proof)
    if token is None:
        return ["it is no token, and says nothing about itself"]
    claims = token.claims
    if claims.get("iss") == claims.get("sub"):  # an assertion of the agent about itself (RFC 7523 §3)
        facts = [fact("key", token.key_id() or "unnamed"), fact("made for", token.audiences_in_words())]
        if proof.until is not None and proof.until > now:
            facts.append(fact("enrolled", f"for {duration(proof.until - now)} from now"))
        return facts
    rows = [("issuer", claims.get("iss")), ("made for", token.audiences_in_words()), ("subject", claims.get("sub"))]
    rows += [(name, claims.get(name)) for name in _OF_A_JOB if name in claims]
    rows += _pod(claims.get("kubernetes.io"))
    rows += [("expires", f"in {duration(token.seconds_left(now))}")] if token.seconds_left(now) else []
    shown = [(name, value) for name, value in rows if isinstance(value, str)]
    width = max([FACT_WIDTH - 1, *(len(name) for name, _ in shown)])
    return [fact(name, value, width) for name, value in shown]


def seconds_over(proof: Proof, now: int) -> int:
    """For how long it, or the key that made it, has been expired; 0 if it has not, or nobody says."""
    if proof.until is not None:
        return max(0, int(now - proof.until))
    token = _token(proof)
    return token.seconds_over(now) if token else 0


def _token(proof: Proof) -> WorkloadToken | None:
    kind, _, value = proof.authorization.partition(" ")
    return WorkloadToken.of(value) if kind == "Bearer" else None


def _pod(named: object) -> list[tuple[str, Any]]:
    """The claims of Kubernetes, by the names of the selectors that they prove."""
    return [(selector, _at(named, path)) for selector, path in _OF_A_POD]


def _at(value: object, path: tuple[str, ...]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
