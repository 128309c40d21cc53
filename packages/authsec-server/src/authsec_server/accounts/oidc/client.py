"""This server as a client of the provider: its name there, its secret, where answers go."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

from authsec_server.accounts.oidc.refusal import OpenIdRefusal, SignInRefused

_LONGEST_SECRET = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client registered at `issuer`. Without `secret_file` it is a public client: PKCE alone protects its codes."""

    issuer: str
    client_id: str
    secret_file: Path | None
    redirect_uri: str
    scopes: str

    def authentication(self, methods: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Form fields and headers by which it authenticates at the token endpoint, which takes `methods`.

        Raises `SignInRefused` when its secret cannot be read, or is not taken in any way known here.
        """
        if self.secret_file is None:  # `none` is tried even where it is not announced: Keycloak never announces it
            return {"client_id": self.client_id}, {}
        secret = self.secret()
        if "client_secret_basic" in methods:  # RFC 6749 section 2.3.1: each part is form-encoded first
            pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
            return {}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        if "client_secret_post" in methods:
            return {"client_id": self.client_id, "client_secret": secret}, {}
        raise SignInRefused(
            OpenIdRefusal.MISCONFIGURED, "the provider takes neither client_secret_basic nor client_secret_post"
        )

    def secret(self) -> str:
        """The secret as the file has it now: whoever renews it need not restart the server. Raises `SignInRefused`."""
        assert self.secret_file is not None
        try:
            secret = self.secret_file.read_text("utf-8")[:_LONGEST_SECRET].strip()
        except (OSError, UnicodeDecodeError):
            secret = ""
        if not secret:
            raise SignInRefused(OpenIdRefusal.MISCONFIGURED, f"there is no client secret in {self.secret_file}")
        return secret
