"""`authsec doctor`: all that stands between this machine and a delegation token, step by step.

For the developer whose agent gets no token: what was seen, what is wrong, who does what next. It goes on after a
failure where that makes sense, and shows no token, key or password; `authsec smoke` is the short check.

| module | owns |
|---|---|
| `checks` | the order of all checks |
| `settings`, `packages` | the environment: variables, versions, other people's packages |
| `network` | the way there: name, connection, proxy, TLS |
| `authority` | who answers there, what time it is there, and one real request for a token |
| `proofs` | where a proof is looked for, and what it says of itself |
| `advice` | what to do about each reason |
| `report` | what was found, and how it looks |
"""

from __future__ import annotations

from authsec.clock import Clock
from authsec.credentials import default_sources
from authsec.doctor.checks import examine
from authsec.doctor.report import is_healthy, print_json, print_report
from authsec.doctor.settings import read_settings


def main(*, scope: str | None = None, resource: tuple[str, ...] = (), as_json: bool = False) -> int:
    """Examine the agent that the environment names; 0 if it gets its tokens and nothing is wrong, else 1."""
    found = read_settings()
    findings = examine(found, default_sources(), Clock(), scope=scope, resource=resource or None)
    return 0 if is_healthy((print_json if as_json else print_report)(found.subject, findings)) else 1
