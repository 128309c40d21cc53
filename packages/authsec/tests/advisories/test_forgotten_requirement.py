"""A slip in the proxy's configuration, and everybody with any token is let in to everything.

A server that takes what it does not understand for "nothing is needed" fails open where nobody looks: the right callers
still get in. So a question without a requirement, or with something else in it, is never answered with yes.
"""

from __future__ import annotations

import re
import string

import pytest
from authsec.verify_server.decision import ANY_AGENT, Misconfigured, Requirement
from hypothesis import given
from hypothesis import strategies as st

from ..asking_verify_server import running

MISTAKES = [
    "",
    "?",
    "?require=",
    "?require",
    "?require=customers:read&",
    "?require=customers:read&require=",
    "?require=customers:read,",
    "?requires=customers:read",
    "?require=customers:read&Require=customers:delete",
    "?require=customers:*",
    "?require=*",
    "?require=customers",
    "?require=$authsec_require",
    "?require=customers:read+tickets:write",
    "?require=customers:read;require=tickets:write",
    "?require_any=",
    "?require_any=any_agent",
    "?audience=https://crm.example.com",
    "?audience=&require=any_agent",
    "?audience=https://crm.example.com&audience=https://crm.example.com&require=any_agent",
    "?refusal=header",
    "?refusal=body&require=any_agent",
    "?require=any_agent&user=bob",
    "/",
    "//customers/42",
    "/customers/42",
    "/require=/customers/42",
    "?" + "&".join(["require=any_agent"] * 101),
]


def test_nobody_is_let_in_by_a_mistake() -> None:
    with running() as asked:
        token = asked.token()
        assert asked.get("/verify?require=any_agent", token).status == 204
        for query in MISTAKES:
            answer = asked.get(f"/verify{query}", token)
            assert (answer.status, answer.json()["reason"]) == (500, "proxy_misconfigured"), query


def test_the_log_says_where_the_mistake_is_and_what(caplog: pytest.LogCaptureFixture) -> None:
    """Who reads it may have many paths. What was requested is quoted in part, on one line, and without its query."""
    with running() as asked:
        asked.get("/verify?require=customers:read,orders", **{"X-Original-URI": "/orders/42?secret=1"})
        asked.get("/verify?require=", **{"X-Forwarded-Uri": "/forwarded"})
        asked.get("/verify/require=*/envoy/42?secret=1")
        asked.get(
            "/verify?audience=https://orders.example.com&require=any_agent", **{"X-Original-URI": "/" + "x" * 900}
        )
        asked.cgi(AUTHSEC_VERIFY="require=a:b&refusal=body", REQUEST_URI="/apache/42?secret=1")
        asked.cgi(REQUEST_URI="/apache/forgotten")
    logged = [record.message.removeprefix("the proxy's configuration for ") for record in caplog.records]
    assert logged[0].startswith("/orders/42 is not valid: require has 'orders', which is not an action;")
    assert logged[1].startswith("/forwarded is not valid: require has an empty entry;")
    assert logged[2].startswith("/envoy/42 is not valid: require has '*', which is not an action;")
    assert re.match(r"/x{100,250}… is not valid: the audience 'https://orders.example.com' is not an ", logged[3])
    assert logged[4] == "/apache/42 is not valid: refusal must be header, not 'body'"
    assert logged[5].startswith("/apache/forgotten is not valid: Apache did not send AUTHSEC_VERIFY")
    assert "secret" not in caplog.text


@given(st.text(alphabet=string.ascii_lowercase + "=&,:_%;+", max_size=40) | st.text(max_size=20))
def test_what_is_understood_needs_something_by_name(query: str) -> None:
    try:
        understood = Requirement.read(query)
    except Misconfigured:
        return  # refused: the property is about what is understood
    assert understood.all_of or understood.any_of or ANY_AGENT in query
