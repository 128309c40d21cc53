"""The lines that protect an API, for each stack that the SDK serves: with this API's own values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authsec_server.apis.model import Api

_INSTALL = 'pip install "./packages/authsec[verify]"   # in a clone of AuthSec: by path, never by the bare name'


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Code to copy, and what it is for."""

    title: str
    note: str
    code: str


def snippets(issuer: str, api: Api) -> Sequence[Snippet]:
    """Install, ASGI (Starlette, FastAPI), and any other Python."""
    action = api.actions[0].action if api.actions else "customers:read"
    verifier = f'TokenVerifier(issuer="{issuer}", audience="{api.identifier}")'
    return (
        Snippet(title="Install", note="Where the API runs.", code=_INSTALL),
        Snippet(
            title="Starlette, FastAPI, any ASGI",
            note="One line lets in only requests with a token for this API; each handler says what it needs.",
            code=(
                "from authsec import TokenVerifier\n"
                "from authsec.asgi import BearerAuth, identity_of\n\n"
                f"app.add_middleware(BearerAuth, verifier={verifier})\n\n"
                "async def handler(request):\n"
                f'    identity_of(request).require("{action}")\n'
                "    ..."
            ),
        ),
        Snippet(
            title="Any Python",
            note="Without a framework: it returns who calls and what they may do, or raises.",
            code=(
                "from authsec import TokenVerifier\n\n"
                f"verifier = {verifier}\n"
                "identity = verifier.verify(token)\n"
                f'identity.require("{action}")'
            ),
        ),
        Snippet(
            title="Any other language",
            note="Any JWT library can check: RS256 only, the issuer, the audience and the expiry, with keys from here.",
            code=f"issuer    {issuer}\naudience  {api.identifier}\nkeys      {issuer}/.well-known/jwks.json",
        ),
    )
