"""A public host that may be asked answers with a redirect to one that may not, or that gets our credentials."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.outbound import OutboundFailed


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "300 X"]
)
def test_a_redirect_is_not_followed_but_named(peer: Any, peers: Any, status: str) -> None:
    private = peer(peers.http({}))
    public = peer(
        f"HTTP/1.1 {status}\r\nLocation: {private.url}/latest?token=abc\r\nContent-Length: 0\r\n\r\n".encode()
    )
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound("127.0.0.1").get(f"{public.url}/jwks?secret=x", headers={"Authorization": "Bearer abc"})
    assert failed.value.reason == "redirect"
    assert str(failed.value) == f"{public.url}/jwks redirected to {private.url}/latest, and redirects are not followed"
    assert private.requests == []


def test_where_it_leads_cannot_forge_a_line_of_the_log(peer: Any, peers: Any) -> None:
    its = peer(b"HTTP/1.1 302 Found\r\nLocation: \x1b[31m\xe2\x80\xaeroot signed in?secret=x\r\n\r\n")
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound("127.0.0.1").get(its.url)
    assert str(failed.value).isprintable()
    assert "secret" not in str(failed.value)
