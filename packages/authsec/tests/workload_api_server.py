"""A SPIFFE Workload API on real unix sockets, one for each way it may answer: `workload_api_server.py FOLDER`.

Beside them it puts `bundle.json`, the trust bundle by which its SVIDs are known. It runs as a process of its own, as
SPIRE's agent does: gRPC stays out of the process that runs the tests, some of which fork. Prints `ready` and serves
until it is ended.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from authsec.jose import PrivateKey, sign_compact
from spiffe._proto import workload_pb2, workload_pb2_grpc

KEY = PrivateKey.generate_ec()
IDS = ("spiffe://example.org/node", "spiffe://example.org/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")


def svid(spiffe_id: str, audience: list[str], life: int) -> Any:
    """As SPIRE makes them: `sub`, `aud`, `exp`, `iat`."""
    now = int(time.time())
    claims = {"sub": spiffe_id, "aud": audience, "exp": now + life, "iat": now}
    return workload_pb2.JWTSVID(spiffe_id=spiffe_id, svid=sign_compact({"kid": "spire-1", "typ": "JWT"}, claims, KEY))


class WorkloadApi(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    def __init__(self, way: str, stopping: threading.Event) -> None:
        self.way = way
        self.stopping = stopping

    def FetchJWTSVID(self, request: Any, context: Any) -> Any:  # noqa: N802 - as it is called there
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():  # SPIFFE Workload Endpoint §3
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        if self.way == "denies":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued; see pid 4711\n\x1b[31m")
        if self.way == "hangs":
            self.stopping.wait(30)
        if self.way == "is-slow":
            self.stopping.wait(1)
        if self.way == "talks-nonsense":
            return workload_pb2.JWTSVIDResponse(svids=[workload_pb2.JWTSVID(spiffe_id=IDS[0], svid="eyJub.canary.x")])
        life = -3600 if self.way == "is-late" else 300
        wanted = [request.spiffe_id] if request.spiffe_id else IDS
        audience = ["https://other.example"] if self.way == "mistakes-the-audience" else list(request.audience)
        return workload_pb2.JWTSVIDResponse(svids=[svid(each, audience, life) for each in wanted])


WAYS = ("works", "denies", "hangs", "is-slow", "talks-nonsense", "is-late", "mistakes-the-audience")


def main(folder: str) -> None:
    stopping = threading.Event()
    servers = []
    key = {**KEY.public.to_jwk(), "kid": "spire-1", "use": "jwt-svid"}
    Path(folder, "bundle.json").write_text(json.dumps({"keys": [key], "spiffe_sequence": 1}))
    for way in WAYS:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(WorkloadApi(way, stopping), server)
        server.add_insecure_port(f"unix:{Path(folder, way)}")
        server.start()
        servers.append(server)
    print("ready", flush=True)
    sys.stdin.read()
    stopping.set()
    for server in servers:
        server.stop(None)


if __name__ == "__main__":
    main(sys.argv[1])
