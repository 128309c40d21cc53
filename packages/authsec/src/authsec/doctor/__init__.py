"""`authsec doctor`: check each step between this machine and a delegation token.

The command is for the developer whose agent gets no token. The report says what the doctor found, what is
wrong, and who must do what next. After a failure, the doctor still runs the later checks that can help. The
report shows no token, key or password. `authsec smoke` is the short check.

| module | owns |
|---|---|
| `checks` | the order of all checks |
| `settings`, `packages` | the environment: variables, versions, packages of other projects |
| `network` | the route to the authority: name, connection, proxy, TLS |
| `authority` | the authority's issuer and clock, and one real token request |
| `metadata` | the authority's metadata, as a stock OAuth client reads them |
| `api` | one API's metadata, as a stock OAuth client reads them |
| `proofs` | the search of each source for a proof, and the claims of each proof |
| `advice` | the remedy for each reason |
| `report` | the findings, and how they are printed |
"""

from __future__ import annotations

from authsec.clock import Clock
from authsec.credentials import default_sources
from authsec.doctor.checks import examine
from authsec.doctor.report import is_healthy, print_json, print_report
from authsec.doctor.settings import read_settings


def main(
    *, scope: str | None = None, resource: tuple[str, ...] = (), api: str | None = None, as_json: bool = False
) -> int:
    """Check the agent that the environment names. Return 0 if no check failed, else 1."""
    found = read_settings()
    findings = examine(found, default_sources(), Clock(), scope=scope, resource=resource or None, api=api)
    return 0 if is_healthy((print_json if as_json else print_report)(found.subject, findings)) else 1
