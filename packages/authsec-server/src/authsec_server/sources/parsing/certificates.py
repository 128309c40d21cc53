"""Certificates that count when a source's keys are fetched."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from authsec_server.failures import Invalid

MAX_PEM = 32 * 1024
MAX_CERTIFICATES = 20


def parse_ca(text: str, field: str = "ca") -> str:
    """The certificates in PEM (RFC 7468 section 5), without what stands around them. Raises `Invalid`."""
    if not text.strip():
        return ""
    if "PRIVATE KEY" in text:
        raise Invalid(
            field,
            "This holds a PRIVATE key. It was not stored, but it has left its owner: consider it exposed.",
            "Replace that key, and give the certificates alone: the blocks that say BEGIN CERTIFICATE.",
        )
    if len(text) > MAX_PEM:
        raise Invalid(field, f"{field} must have at most {MAX_PEM:,} characters.", "Give the authorities alone.")
    try:
        found = x509.load_pem_x509_certificates(text.encode("utf-8", "replace"))
    except ValueError:
        found = []
    if not 1 <= len(found) <= MAX_CERTIFICATES:
        raise Invalid(
            field,
            f"{field} must hold 1 to {MAX_CERTIFICATES} certificates in PEM form.",
            "Give the blocks from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.",
        )
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def fingerprints(ca: str) -> list[str]:
    """The SHA-256 of each certificate, in hex: how the journal names them."""
    return [each.fingerprint(SHA256()).hex() for each in x509.load_pem_x509_certificates(ca.encode())] if ca else []
