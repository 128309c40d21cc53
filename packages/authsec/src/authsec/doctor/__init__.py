"""`authsec doctor`: check each step between this machine and a delegation token.

For the developer whose agent gets no token. The report says what the doctor found, what is wrong, and who
does what next. The doctor continues after a failure where later checks can still help. The report shows no
token, key or password. `authsec smoke` is the short check.

| module | owns |
|---|---|
| `checks` | the order of all checks |
| `settings`, `packages` | the environment: variables, versions, packages of other projects |
| `network` | the route to the authority: name, connection, proxy, TLS |
| `authority` | the authority's name and clock, and one real token request |
| `proofs` | each place that may have a proof, and the claims of each proof |
| `advice` | the remedy for each reason |
| `report` | the findings, and how they are printed |
"""

from __future__ import annotations

from authsec.clock import Clock
from authsec.credentials import default_sources
from authsec.doctor.checks import examine
from authsec.doctor.report import is_healthy, print_json, print_report
from authsec.doctor.settings import read_settings


def main(*, scope: str | None = None, resource: tuple[str, ...] = (), as_json: bool = False) -> int:
    """Check the agent that the environment names. Return 0 if it gets its tokens and nothing is wrong, else 1."""
    found = read_settings()
    findings = examine(found, default_sources(), Clock(), scope=scope, resource=resource or None)
    return 0 if is_healthy((print_json if as_json else print_report)(found.subject, findings)) else 1
