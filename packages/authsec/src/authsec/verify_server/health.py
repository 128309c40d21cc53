"""How the server fares, for whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from authsec.errors import RevocationsUnavailable, VerificationUnavailable
from authsec.gate import Answer
from authsec.verifier import TokenVerifier


def health_of(verifiers: Sequence[TokenVerifier], *, asks: bool) -> Answer:
    """200 while good tokens pass; 503 while they would be refused, all of them. May wait for some seconds.

    `asks`: while the feed of revocations is not known, the authority is asked about each token.
    """
    apis = [_of(verifier, asks=asks) for verifier in verifiers]
    refusing = any(api["status"] == "refusing" for api in apis)
    return Answer(status=503 if refusing else 200, body={"status": _worst(apis), "apis": apis})


def _of(verifier: TokenVerifier, *, asks: bool) -> dict[str, Any]:
    status = "ok"
    try:
        verifier.check_ready()
    except RevocationsUnavailable:
        status = "asking" if asks else "refusing"
    except VerificationUnavailable:
        status = "refusing"
    return {"audience": verifier.expected.audience, "status": status, **asdict(verifier.health())}


def _worst(apis: Sequence[dict[str, Any]]) -> str:
    found = {api["status"] for api in apis}
    return next(status for status in ("refusing", "asking", "ok") if status in found)
