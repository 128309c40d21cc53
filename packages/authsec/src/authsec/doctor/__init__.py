"""`authsec doctor`: all that stands between this machine and a delegation token, step by step.

For the developer whose agent gets no token: what was seen, what is wrong, who does what next. It goes on after a
failure where that makes sense, and shows no token, key or password; `authsec smoke` is the short check.

| module | owns |
|---|---|
| `settings`, `packages` | the environment: variables, versions, other people's packages |
| `network`, `certificate` | the way there: name, connection, proxy, TLS |
| `server` | who answers there, and what time it is there |
| `proofs`, `own_word` | where a proof is looked for, and what it says of itself |
| `request` | one real request for a token |
| `advice` | what to do about each reason |
| `findings`, `printing`, `examination` | what was found, how it looks, and the order of it all |
"""

from __future__ import annotations

from authsec.clock import Clock
from authsec.credentials import default_sources
from authsec.doctor.examination import examine
from authsec.doctor.findings import healthy
from authsec.doctor.printing import printed, printed_as_json
from authsec.doctor.settings import settings


def main(*, scope: str | None = None, resource: tuple[str, ...] = (), as_json: bool = False) -> int:
    """Examine the agent that the environment names; 0 if it gets its tokens and nothing is wrong, else 1."""
    found = settings()
    findings = examine(found, default_sources(), Clock(), scope=scope, resource=resource or None)
    return 0 if healthy((printed_as_json if as_json else printed)(found, findings)) else 1
