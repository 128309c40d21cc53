"""The authorization endpoint as an open redirector (RFC 9700 section 4.11).

RFC 6749 section 4.1.2.1: the user agent must not be sent to a redirect URI that no client has registered, not even with
an error. Nothing of the request is shown, either: whoever makes the link would choose the words of a page of ours.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.web.oauth import AUTHORIZATION_PATH


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.parametrize(
    "redirect_uri",
    ["https://evil.example/back", "//evil.example", "javascript:alert('evil')", "http://127.0.0.1:1/evil"],
)
def test_nobody_is_sent_to_a_redirect_uri(house: Any, accept: str, redirect_uri: str) -> None:
    asked = {"response_type": "code", "client_id": "evil", "redirect_uri": redirect_uri, "state": "<b>evil</b>"}
    answer = house().door().get(AUTHORIZATION_PATH, params=asked, headers={"Accept": accept})
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "Refresh" not in answer.headers
    assert "evil" not in answer.text
