"""The remedy for each reason: one line for the person whose agent gets no token.

The SDK's error text says what failed, and which request or proof the authority would accept. The remedy says
who must do what next, and where.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from authsec.config import AuthSecConfig, export_line
from authsec.errors import AuthSecError

_AGENT_ID: Final = "Copy the Client ID from the agent's page in the console into AUTHSEC_AGENT_CLIENT_ID."
_IN_THE_AUDIT: Final = (
    "An administrator can see what differed: with `authsec audit list --request-id {request}`, or in the agent's "
    "activity. Refusals of one minute may share one audit entry"
)
_ADDRESS: Final = "Correct AUTHSEC_BASE_URL: use the authority's root, as shown on the agent's Connect tab."
_PASTED: Final = re.compile(r"/(?:authsec|console)(?=/|$)")
_LOOK_AT_SERVER: Final = (
    "Try again. If the problem persists, check on the server that the authority runs, and read the authority's log."
)
# Every reason with which the delegation-token endpoint refuses a request.
OF_REFUSALS: Final[Mapping[str, str]] = {
    "client_id_missing": _AGENT_ID,
    "client_id_invalid": _AGENT_ID,
    "invalid_scope": "Write actions as resource:action, separated by spaces, as in customers:read.",
    "invalid_target": (
        "Name one of the APIs above: here with `--resource`, and in the program with get_token(resource=…)."
    ),
    "rate_limited": (
        "Wait for the given time. Then let the program keep one AuthSecClient, which requests a token once an hour."
    ),
    "client_not_found": f"{_AGENT_ID} Check that AUTHSEC_BASE_URL is the agent's authority.",
    "attestation_required": (
        "Give the agent a proof: its registered key, in the file that AUTHSEC_AGENT_KEY_FILE "
        "names; in a cluster, the volume on its Connect tab; on this machine, `authsec enrol`."
    ),
    "attestation_invalid": f"Compare the proof above with the proofs on the agent's page. {_IN_THE_AUDIT}.",
    "selectors_mismatch": (
        f"Compare the claims of the proof above with the selectors on the agent's page. {_IN_THE_AUDIT}."
    ),
    "client_disabled": (
        "Ask an administrator why the agent is disabled. To enable the agent: `authsec agents enable {agent}`."
    ),
    "no_delegation": "Ask an administrator for a trust delegation: `authsec delegations create --agent {agent} …`.",
    "delegation_ended": (
        "Ask an administrator for a new trust delegation: `authsec delegations create --agent {agent} …`."
    ),
    "action_not_allowed": (
        "Request fewer actions (the text above names those that are granted), or ask for a delegation that allows more."
    ),
    "proof_not_accepted": (
        "Use another kind of proof, or ask for a delegation that accepts this kind. If the text above names DPoP, the "
        "delegation grants only tokens that are bound to a key: set AUTHSEC_DPOP=1."
    ),
    "invalid_dpop_proof": (
        "Synchronise this machine's clock with the network (`timedatectl set-ntp true`). If AUTHSEC_ISSUER is set, "
        "check that it is the authority's issuer: each proof names the issuer's token endpoint."
    ),
    "use_dpop_nonce": _LOOK_AT_SERVER,
    "unavailable": _LOOK_AT_SERVER,
}
_OF_THE_WAY: Final[Mapping[str, str]] = {
    "unreachable": "Check that the authority runs, and that this machine can reach it.",
    "timeout": _LOOK_AT_SERVER,
    "connection_lost": (
        "Try again. If the problem persists, check the network between this machine and the authority: a proxy, "
        "a load balancer, a network policy."
    ),
    "proxy_failed": "Check that the proxy runs, or add the authority's host to NO_PROXY.",
    "certificate_untrusted": (
        "Set AUTHSEC_CA_FILE to the PEM file of the certificate authority that signed the certificate."
    ),
    "tls_failed": "Check that this port serves https, and that AUTHSEC_BASE_URL has the correct scheme and port.",
    "ca_file_invalid": "Correct AUTHSEC_CA_FILE, or unset it to use the system's trust store.",
    "proxy_invalid": "Correct HTTPS_PROXY, or add the authority's host to NO_PROXY.",
    "redirected": _ADDRESS,
    "invalid_response": _ADDRESS,
    "host_not_allowed": "Use the authority's public URL as AUTHSEC_BASE_URL.",
    "issuer_not_pinned": "If the issuer above is the issuer of your authority, set AUTHSEC_ISSUER as shown.",
    "dpop_needs_key_pair": (
        "Set AUTHSEC_AGENT_KEY_FILE to the file of the agent's registered key. Or, if no trust delegation of the agent "
        "requires DPoP, unset AUTHSEC_DPOP to get bearer tokens."
    ),
    "credential_broken": (
        "Correct the proof, as the text above says. Or unset the proof's variable or move the proof's file away: "
        "the SDK then looks for another proof."
    ),
}
_OTHERWISE: Final = "Follow the text above, or ask the operator of the authority."


def advice(error: AuthSecError, config: AuthSecConfig) -> str:
    """Return the remedy for `error`. The authority's administrator runs the commands in the remedy."""
    line = OF_REFUSALS.get(error.reason) or _OF_THE_WAY.get(error.reason, _OTHERWISE)
    address = urlsplit(config.base_url)
    pasted = _PASTED.search(address.path)
    if line is _ADDRESS and pasted:  # Users often paste an address with /authsec or /console.
        root = export_line("AUTHSEC_BASE_URL", address._replace(path=address.path[: pasted.start()]).geturl())
        return f"Remove {pasted[0]} and everything after it from the address:\n    {root}"
    to_copy = [text for text in str(error).splitlines() if text.startswith("    ")]
    lines = [line.replace("{agent}", config.client_id).replace("{request}", error.request_id or "…")]
    # A single line to copy is repeated here. Several lines are only in the error text.
    return "\n".join(lines + (to_copy if len(to_copy) == 1 else []))
