"""Tokens in the log of verify-server: whoever reads logs could act as the agents."""

from __future__ import annotations

import logging

import pytest

from ..asking_verify_server import running


def test_neither_headers_nor_queries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("authsec", "uvicorn", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    with running() as asked:
        token = asked.token()
        asked.get("/verify?require=customers:read", token)
        asked.get("/verify?require=customers:read", token[:-4])
        asked.get(f"/verify?access_token={token}")
        asked.get(f"/verify?{token}=1")
        asked.get(f"/verify?require={token}", token)
        asked.get(f"/verify/{token}/x", token)
        asked.get(f"/{token}", token)
        asked.cgi(AUTHSEC_VERIFY=f"audience={token}&require=any_agent", HTTP_AUTHORIZATION=f"Bearer {token}")
        assert "'access_token' is not a parameter" in caplog.text
        for part in token.split("."):
            assert part not in caplog.text
