"""Fetch a JWT-SVID in a separate process: `python -m authsec.credentials.svid_process`.

The SVID comes from the SPIFFE Workload API.

gRPC keeps threads and sockets in its process. An agent that forks during a call (as web servers fork workers)
would share the socket with its child. Then calls break, or the child waits forever. So an agent's process
never loads gRPC; an SVID is fetched once per token life. The Workload API identifies its caller by user,
container and pod, which are the same for the child process.

The arguments are the socket, the audience, the SPIFFE ID (may be empty) and the time limit in seconds. The
output is one JSON object on stdout: the token, or the failure as a gRPC status code, never as text from
others.
"""

from __future__ import annotations

import json
import sys

from spiffe import SpiffeId, WorkloadApiClient
from spiffe.errors import PySpiffeError


def answer(socket: str, audience: str, spiffe_id: str, seconds: str) -> dict[str, str]:
    """Return `{"token": …}` or `{"failed": …}`: a gRPC status code, or `INVALID` for an answer that is not an SVID."""
    try:
        with WorkloadApiClient(socket, default_timeout=float(seconds)) as workload_api:
            subject = SpiffeId(spiffe_id) if spiffe_id else None
            return {"token": workload_api.fetch_jwt_svid({audience}, subject).token}
    except PySpiffeError as error:
        code = getattr(error.__cause__, "code", None)
        return {"failed": code().name if callable(code) else "INVALID"}


if __name__ == "__main__":
    print(json.dumps(answer(*sys.argv[1:])))  # noqa: T201 - to the parent
