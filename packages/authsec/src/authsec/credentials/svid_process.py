"""`python -m authsec.credentials.svid_process`: a JWT-SVID from the SPIFFE Workload API, in a process of its own.

gRPC keeps threads and sockets in the process that uses it. An agent that forks while a call is on its way (as web
servers do to their workers) would share the socket with its child, which ends in broken calls or in a child that waits
for ever. So an agent's process never loads gRPC; an SVID is fetched once a token's life. The Workload API knows its
caller by user, container and pod, which the process has in common with its parent.

The arguments are the socket, the audience, the SPIFFE ID wanted (or nothing) and the seconds it may take. The answer is
one JSON object on stdout: the token, or what failed as a code of gRPC's, never in the words of others.
"""

from __future__ import annotations

import json
import sys

from spiffe import SpiffeId, WorkloadApiClient
from spiffe.errors import PySpiffeError


def answer(socket: str, audience: str, spiffe_id: str, seconds: str) -> dict[str, str]:
    """`{"token": …}`, or `{"failed": …}` with a gRPC status code, or `INVALID` for an answer that is no SVID."""
    try:
        with WorkloadApiClient(socket, default_timeout=float(seconds)) as workload_api:
            subject = SpiffeId(spiffe_id) if spiffe_id else None
            return {"token": workload_api.fetch_jwt_svid({audience}, subject).token}
    except PySpiffeError as error:
        code = getattr(error.__cause__, "code", None)
        return {"failed": code().name if callable(code) else "INVALID"}


if __name__ == "__main__":
    print(json.dumps(answer(*sys.argv[1:])))  # noqa: T201 - to the parent
