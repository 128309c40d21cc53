"""HTTPS from the server itself, and an SDK that trusts only whom it was told to."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, TokenVerifier, TransportError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authsec test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return files


@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_tls_from_end_to_end(serve: Any, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = map(str, certificate)
    its = serve(AUTHSEC_SERVER_TLS_CERT=cert, AUTHSEC_SERVER_TLS_KEY=key)
    assert its.url.startswith("https://127.0.0.1:")
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    with pytest.raises(TransportError):
        AuthSecClient(base_url=its.url, client_id=agent.client_id).get_delegation_token()
    monkeypatch.setenv("AUTHSEC_CA_FILE", cert)
    token = AuthSecClient(base_url=its.url, client_id=agent.client_id).get_delegation_token()
    identity = TokenVerifier(issuer=its.url, audience="authsec-api", ca_file=cert).verify(token)
    assert identity.client_id == agent.client_id
