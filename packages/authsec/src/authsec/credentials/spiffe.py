"""A JWT-SVID from the SPIFFE Workload API, for example from the SPIRE agent (extra `spiffe`).

SPIFFE Workload API §6 specifies the protocol.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authsec.credentials.source import Proof, ProofRequest, broken_proof
from authsec.credentials.workload_token import WorkloadToken
from authsec.errors import AuthSecError, ConfigError, TransportError
from authsec.extras import HOW_TO_INSTALL_SPIFFE
from authsec.strict_json import StrictJsonError, loads

_OTHERWISE = "Or set AUTHSEC_WORKLOAD_TOKEN_FILE or AUTHSEC_AGENT_KEY_FILE: the SDK uses such a proof instead."
_IF_REFUSED = (
    "Check that the SVID's trust domain is a trusted issuer, and that SPIRE gives this workload "
    "the SPIFFE ID on the agent's page. If the agent is unattested, it needs no proof. In that case, unset "
    "SPIFFE_ENDPOINT_SOCKET."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiffeWorkloadApi:
    """The Workload API at the address `socket`, for example `unix:///path`.

    The default address is in `SPIFFE_ENDPOINT_SOCKET`. A workload may have several identities. `spiffe_id`
    (`AUTHSEC_SPIFFE_ID`) selects one. Without `spiffe_id`, the SDK uses the first identity that the API returns.
    """

    socket: str | None = None
    spiffe_id: str | None = None

    def proof(self, request: ProofRequest) -> Proof | None:
        socket = self.socket or os.environ.get("SPIFFE_ENDPOINT_SOCKET", "").strip()
        if not socket:
            return None
        _check(socket)
        spiffe_id = self.spiffe_id or os.environ.get("AUTHSEC_SPIFFE_ID", "").strip()
        token = _fetch(socket, request.trusted_audience(), spiffe_id, request.seconds_left())
        if isinstance(token, AuthSecError):
            raise token
        return Proof(
            authorization=f"Bearer {token.value}",
            source=f"JWT-SVID of the SPIFFE Workload API at {socket}",
            if_refused=_IF_REFUSED,
        )

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same socket for every agent
        return "SPIFFE_ENDPOINT_SOCKET (not set)"


def _check(socket: str) -> None:
    """Refuse settings that cannot work, before any request.

    A socket that does not exist is accepted, because it may appear later.
    """
    if not socket.startswith("unix:/"):
        raise broken_proof(
            f"SPIFFE_ENDPOINT_SOCKET must name a unix socket, as in unix:///run/spire/sockets/agent.sock. {_OTHERWISE}"
        )
    if importlib.util.find_spec("spiffe") is None:
        raise broken_proof(
            f"SPIFFE_ENDPOINT_SOCKET is set, but the package that fetches SVIDs is not installed. "
            f"{HOW_TO_INSTALL_SPIFFE}\n{_OTHERWISE}"
        )
    if not sys.executable or getattr(sys, "frozen", False):
        raise broken_proof(
            "The SDK fetches SVIDs in a second Python process, but finds no Python interpreter to start. Let "
            "SPIFFE Helper write the JWT-SVID to a file, and set AUTHSEC_WORKLOAD_TOKEN_FILE to that file."
        )


def _fetch(socket: str, audience: str, spiffe_id: str, seconds: float) -> WorkloadToken | AuthSecError:
    """Return the SVID, or the error for the caller to raise.

    The caller raises the error, so that no frame of its traceback contains the token.
    """
    if not os.path.exists(Path("/", socket.removeprefix("unix:").lstrip("/"))):  # or this user cannot read the folder
        return _failed("UNAVAILABLE", socket)
    command = [sys.executable, "-P", "-m", "authsec.credentials.svid_process", socket, audience, spiffe_id]
    # The second process imports the same packages as this one.
    found_here = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [*command, f"{seconds:.3f}"],
            env={**os.environ, "PYTHONPATH": found_here},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _failed("DEADLINE_EXCEEDED", socket)
    except OSError as error:
        return broken_proof(f"The process that fetches an SVID cannot be started: {error.strerror}. {_OTHERWISE}")
    answer = _answer(done.stdout)
    token = WorkloadToken.of(str(answer.get("token", "")))
    return token or _failed(str(answer.get("failed", "INVALID")), socket)


def _answer(output: bytes) -> Mapping[str, Any]:
    try:
        answer = loads(output, max_bytes=64 * 1024)
    except StrictJsonError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _failed(code: str, socket: str) -> ConfigError | TransportError:
    """Turn a gRPC status code into an error with a remedy (SPIFFE Workload Endpoint §6)."""
    if code == "PERMISSION_DENIED":
        return broken_proof(
            "The SPIFFE Workload API has no identity for this workload. Register the workload in SPIRE, with "
            f"selectors that match it. {_OTHERWISE}"
        )
    if code == "DEADLINE_EXCEEDED":
        return TransportError("The SPIFFE Workload API did not answer in time.", reason="timeout", retryable=True)
    if code == "UNAVAILABLE":
        return TransportError(
            f"The SPIFFE Workload API at {socket} does not answer. Check that the SPIRE agent runs, that the "
            "socket is mounted here, and that this user can open the socket.",
            reason="unreachable",
            retryable=True,
        )
    return broken_proof(
        "The SPIFFE Workload API returned no usable SVID. Check that AUTHSEC_SPIFFE_ID, if set, is an identity of "
        f"this workload, and check this machine's clock. {_OTHERWISE}"
    )
