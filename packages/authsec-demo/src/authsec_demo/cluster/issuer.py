"""The issuer of service account tokens. The tokens have the claims of a real cluster.

The issuer also has a discovery document and a key set.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from authsec.jose import JoseError, PrivateKey, UnverifiedJws, parse_compact, sign_compact
from cryptography.hazmat.primitives import serialization

from authsec_demo.cluster.objects import Clock
from authsec_demo.cluster.users import service_account_name

URL: Final = "https://kubernetes.default.svc.cluster.local"
# Every pod's default token requests this lifetime. The issuer then grants a year.
MOUNTED_SECONDS: Final = 3607
_A_YEAR: Final = 365 * 24 * 3600

Json = Mapping[str, Any]


class Issuer:
    """A token issuer that signs and verifies. `url` is the `iss` claim, and also the audience of the API server."""

    def __init__(self, key: PrivateKey, now: Clock, url: str = URL) -> None:
        self.url = url
        self._now = now
        self._key = key
        self._kid = _key_id(key)

    def token(
        self,
        account: Json,
        *,
        pod: Json | None = None,
        node: Json | None = None,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
    ) -> str:
        """Sign a token for this account, bound to `pod` if one is given.

        Without `audiences`, the audience is the API server.
        """
        now, wanted = int(self._now()), list(audiences) or [self.url]
        mounted = pod is not None and seconds == MOUNTED_SECONDS and wanted == [self.url]
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        bound: dict[str, Any] = {"namespace": namespace}
        if node is not None:
            bound["node"] = _reference(node)
        if pod is not None:
            bound["pod"] = _reference(pod)
        bound["serviceaccount"] = _reference(account)
        if mounted:
            bound["warnafter"] = now + seconds
        claims = {
            "aud": wanted,
            "exp": now + (_A_YEAR if mounted else seconds),
            "iat": now,
            "iss": self.url,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": bound,
            "nbf": now,
            "sub": service_account_name(namespace, name),
        }
        return sign_compact({"kid": self._kid}, claims, self._key)

    def recognised(self, token: str) -> UnverifiedJws | None:
        """Return the parsed token if its `iss` claim names this issuer, else None. Does not verify the signature."""
        try:
            jws = parse_compact(token)
        except JoseError:
            return None  # not a token, so not a token of this issuer
        return jws if jws.claims.get("iss") == self.url else None

    def complaint(self, jws: UnverifiedJws) -> str:
        """Verify the signature. Return an error message, or an empty text for a valid signature."""
        if jws.header.get("kid", self._kid) != self._kid:
            return "invalid signature, no keys found"
        try:
            jws.verified_by(self._key.public, algorithms={self._key.algorithm})
        except JoseError:
            return "go-jose/go-jose: error in cryptographic primitive"
        return ""

    def discovery(self, address: str) -> dict[str, Any]:
        """Return the discovery document, which the API server publishes at `/.well-known/openid-configuration`.

        `address` is the URL of the API server. `jwks_uri` always begins with `address`, not with the issuer's URL.
        """
        return {
            "issuer": self.url,
            "jwks_uri": f"{address}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._key.algorithm],
        }

    def key_set(self) -> dict[str, Any]:
        """Return the key set that the API server publishes at `/openid/v1/jwks`."""
        named = {"use": "sig", "kid": self._kid, "alg": self._key.algorithm}
        return {"keys": [{**named, **self._key.public.to_jwk()}]}


def _reference(thing: Json) -> dict[str, str]:
    return {"name": thing["metadata"]["name"], "uid": thing["metadata"]["uid"]}


def _key_id(key: PrivateKey) -> str:
    """Return the key's `kid`: the SHA-256 hash of its SubjectPublicKeyInfo, in base64url.

    The hash is not the thumbprint of RFC 7638.
    """
    public = serialization.load_pem_public_key(key.public.to_pem())
    octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).rstrip(b"=").decode("ascii")
