"""Protect a Flask API with one line.

protect(app, verifier=TokenVerifier(issuer=…, audience=…))

@app.get("/customers/<id>")
def show(id):
    identity_of(request).require("customers:read")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from authsec.gate import ANSWERED, GateSettings
from authsec.verifier import Verifier
from authsec.wsgi import BearerAuth, agent_of, identity_of

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["agent_of", "identity_of", "protect"]


def protect(app: Flask, *, verifier: Verifier, **settings: Unpack[GateSettings]) -> None:
    """Add `BearerAuth` of `authsec.wsgi` to the app, and send its responses for the errors of views.

    These errors are `InsufficientScope` and `AgentRequired`. `authsec.gate.GateSettings` explains the settings.
    """
    guard = BearerAuth(app.wsgi_app, verifier=verifier, **settings)
    app.wsgi_app = guard  # type: ignore[method-assign] # the place that Flask documents for middleware

    def answer(error: Any) -> tuple[bytes, int, list[tuple[str, str]]]:
        answer = guard.gate.refuse(error)
        return answer.content, answer.status, answer.all_headers()

    for kind in ANSWERED:
        app.register_error_handler(kind, answer)
