"""Fetch a JWT-SVID in a separate process: `python -m authsec.credentials.svid_process`.

The SVID comes from the SPIFFE Workload API.

gRPC keeps threads and sockets in its process. An agent may fork during a call, as web servers fork workers. Then the
agent and its child would share the socket: calls would break, or the child would wait forever. So an agent's process
never loads gRPC. An SVID is fetched only once per token life. The Workload API identifies its caller by user, container
and pod. This process and the agent have the same user, container and pod.

The arguments are the socket, the audience, the SPIFFE ID (may be empty) and the time limit in seconds. The
output is one JSON object on stdout: the token, or the gRPC status code of a failure. The output never
contains an error text of another program.
"""

from __future__ import annotations

import json
import sys

from spiffe import SpiffeId, WorkloadApiClient
from spiffe.errors import PySpiffeError


def answer(socket: str, audience: str, spiffe_id: str, seconds: str) -> dict[str, str]:
    """Return `{"token": …}`, or `{"failed": …}` with a gRPC status code.

    The code is `INVALID` if the response is not an SVID.
    """
    try:
        with WorkloadApiClient(socket, default_timeout=float(seconds)) as workload_api:
            subject = SpiffeId(spiffe_id) if spiffe_id else None
            return {"token": workload_api.fetch_jwt_svid({audience}, subject).token}
    except PySpiffeError as error:
        code = getattr(error.__cause__, "code", None)
        return {"failed": code().name if callable(code) else "INVALID"}


if __name__ == "__main__":
    print(json.dumps(answer(*sys.argv[1:])))  # noqa: T201 - the parent process reads stdout
