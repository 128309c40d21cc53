"""Check the settings for the API server of a cluster: its URL, and the certificates that are trusted for it. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from authsec_server.failures import Invalid
from authsec_server.issuers.addresses import parse_url
from authsec_server.issuers.model import ClusterApi, ProposedTrustedIssuer, TrustedIssuerKind
from authsec_server.naming import quoted

MAX_PEM = 32 * 1024
MAX_CERTIFICATES = 20


def parse_ca(text: str, field: str = "ca") -> str:
    """Return the PEM certificates in the text (RFC 7468 section 5), without other text. Raises `Invalid`."""
    if not text.strip():
        return ""
    if "PRIVATE KEY" in text:
        raise Invalid(
            field,
            "This text contains a PRIVATE key. AuthSec did not store the key. Treat the key as exposed.",
            "Replace that key, and give only the certificates: the blocks that begin with BEGIN CERTIFICATE.",
        )
    if len(text) > MAX_PEM:
        raise Invalid(
            field,
            f"{field} must have at most {MAX_PEM:,} characters.",
            "Give only the certificates of the authorities.",
        )
    try:
        found = x509.load_pem_x509_certificates(text.encode("utf-8", "replace"))
    except ValueError:
        found = []
    if not 1 <= len(found) <= MAX_CERTIFICATES:
        raise Invalid(
            field,
            f"{field} must have 1 to {MAX_CERTIFICATES} certificates in PEM form.",
            "Give the blocks from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.",
        )
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def fingerprints(ca: str) -> list[str]:
    """Return the SHA-256 of each certificate, in hex. The audit log identifies certificates by this value."""
    return [each.fingerprint(SHA256()).hex() for each in x509.load_pem_x509_certificates(ca.encode())] if ca else []


_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # leads nowhere: no separator, no dot in front
_EXAMPLE = "https://10.0.0.1:6443"
_BOTH = (
    "Look-ups need two values: api_server (the address of the cluster's API server) and credentials (the name of a "
    "token file).",
    f"api_server is e.g. {_EXAMPLE}. credentials names a file in the folder AUTHSEC_SERVER_CREDENTIALS_DIR of the "
    "server. The file has this authority's token for the cluster. On the command line: --from-kubeconfig or "
    "--api-server, and --credentials.",
)


def parse_cluster(kind: TrustedIssuerKind, asked: ProposedTrustedIssuer) -> dict[str, Any]:
    """Return the verified terms of the API server, by name.

    Raises `Invalid`, also for terms of an API server in a trusted issuer that is not a cluster.
    """
    given = [name for name in ("api_server", "api_ca", "credentials") if getattr(asked, name).strip()]
    switched = [name for name in ("token_review", "pod_lookup") if getattr(asked, name)]
    if not given and not switched:
        return {}
    if kind is not TrustedIssuerKind.KUBERNETES:
        raise Invalid((given + switched)[0], f"A {kind.shown} has no API server to ask.", "Leave it out.")
    if switched and not given:
        raise Invalid("api_server", *_BOTH)
    return {
        "api_server": _url(asked.api_server),
        "api_ca": parse_ca(asked.api_ca, "api_ca"),
        "credentials": _file_name(asked.credentials),
        "token_review": asked.token_review,
        "pod_lookup": asked.pod_lookup,
    }


def cluster_detail(cluster: ClusterApi | None) -> dict[str, Any] | None:
    """Return the settings for the cluster's API server as the audit log records them, in JSON types.

    Each certificate is recorded as its SHA-256.
    """
    if cluster is None:
        return None
    named = {name: value for name, value in asdict(cluster).items() if name != "ca"}
    return {**named, "ca_sha256": fingerprints(cluster.ca)}


def _url(text: str) -> str:
    if not text:
        raise Invalid(
            "api_server",
            "Look-ups need the address of the cluster's API server.",
            f"e.g. {_EXAMPLE}; on the command line, --from-kubeconfig reads it.",
        )
    parse_url("api_server", text, example=_EXAMPLE)
    if not text.startswith("https://"):  # what is sent there opens the cluster, even on this machine
        raise Invalid(
            "api_server",
            f"{quoted(text)} is plain http, and this server would send credentials there.",
            "Give https://…",
        )
    if "?" in text:
        raise Invalid("api_server", f"{quoted(text)} has a query.", f"e.g. {_EXAMPLE}")
    return text.rstrip("/")


def _file_name(text: str) -> str:
    if _FILE_NAME.fullmatch(text):
        return text
    raise Invalid(
        "credentials",
        "credentials must be the name of a token file. The name may have letters, digits, '.', '-' and '_', and no "
        "folder.",
        "Put a file with this authority's token for the cluster into the folder AUTHSEC_SERVER_CREDENTIALS_DIR. "
        "Then give the file's name, e.g. token",
    )
