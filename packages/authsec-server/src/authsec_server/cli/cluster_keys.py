"""Issuer and keys of a cluster's service-account tokens, asked of its API server from this machine."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from authsec import strict_json
from authsec.config import is_loopback

from authsec_server.cli.kubeconfig import INSTEAD, ApiServer
from authsec_server.cli.reach import CallFailed

MAX_ANSWER = 256 * 1024
_TIMEOUT = httpx2.Timeout(10, connect=5)  # seconds


def read_cluster(api: ApiServer) -> tuple[str, Mapping[str, Any]]:
    """The issuer, and the JWK Set. Raises `CallFailed`, with how to get them otherwise."""
    secure = api.server.startswith("https://")
    host = httpx2.URL(api.server).host
    headers = {"Authorization": f"Bearer {api.token}"} if api.token else {}
    with httpx2.Client(
        verify=_trust(api) if secure else False,
        trust_env=secure and not is_loopback(host),
        follow_redirects=False,  # the credentials are for this address only
        timeout=_TIMEOUT,
        headers=headers,
    ) as client:
        discovery = _object(client, f"{api.server}/.well-known/openid-configuration")
        keys = _object(client, f"{api.server}/openid/v1/jwks")
    issuer = discovery.get("issuer")
    if not isinstance(issuer, str):
        raise CallFailed(f"{api.server} does not say which issuer its tokens have.", INSTEAD)
    return issuer, keys


def _object(client: httpx2.Client, url: str) -> Mapping[str, Any]:
    try:
        answer = client.get(url)
    except httpx2.HTTPError as error:
        why = "its certificate is not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(error) else "nothing answers there"
        raise CallFailed(f"{url} cannot be had: {why}.", INSTEAD) from None
    if answer.status_code != 200:
        raise CallFailed(f"{url} answers {answer.status_code}.", INSTEAD)
    try:
        value = strict_json.loads(answer.content, max_bytes=MAX_ANSWER)
    except strict_json.StrictJsonError:
        value = None
    if not isinstance(value, dict):
        raise CallFailed(f"{url} does not answer as a Kubernetes API server does.", INSTEAD)
    return value


def _trust(api: ApiServer) -> ssl.SSLContext:
    """Whom to trust, and the client's own certificate, which the library takes from a file only."""
    try:
        trust = ssl.create_default_context(cadata=api.ca)
        if api.certificate and api.key:
            with tempfile.TemporaryDirectory() as folder:  # only its owner can look into it
                pair = Path(folder) / "client.pem"
                pair.write_bytes(api.certificate + b"\n" + api.key)
                trust.load_cert_chain(pair)
    except (ssl.SSLError, ValueError):
        raise CallFailed("The certificates of this kubeconfig cannot be read.", INSTEAD) from None
    return trust
