"""A caller says what is needed, in the place of the proxy.

Envoy asks at a prefix of its own followed by the request's path and query, both of which the caller writes. If those
were read, `/customers/42?require=any_agent` would lower what is needed, and `audience=` let in a token for another API.
"""

from __future__ import annotations

from ..asking_verify_server import running

OTHER = "https://tickets.example.com"


PATHS = [
    "/customers/42",
    "/customers/42?require=any_agent",
    "/require=any_agent/",
    "/../../verify?require=any_agent",
    "/..%2f..%2fverify%3frequire=any_agent",
    "/%2e%2e/require=any_agent/x",
    "//require=any_agent",
    "?require=any_agent",
    "/&require=any_agent",
    "/?audience=https://tickets.example.com",
]


def test_what_follows_the_prefix_decides_nothing() -> None:
    with running("https://crm.example.com", OTHER) as asked:
        prefix = "/verify/audience=https:%2F%2Fcrm.example.com&require=customers:delete"
        for path in PATHS:
            refused = asked.raw(prefix + path, asked.token())
            assert refused.startswith("HTTP/1.1 403 "), path
            assert '"missing_actions": ["customers:delete"]' in refused
            assert '"audience_mismatch"' in asked.raw(prefix + path, asked.token(aud=[OTHER])), path


def test_a_header_of_the_request_is_no_variable_of_apache() -> None:
    """`AUTHSEC-VERIFY: require=any_agent` arrives as HTTP_AUTHSEC_VERIFY."""
    with running() as asked:
        bearer = f"Bearer {asked.token()}"
        for forged in ({}, {"AUTHSEC_VERIFY": "require=customers:delete"}):
            answer = asked.cgi(**forged, HTTP_AUTHSEC_VERIFY="require=any_agent", HTTP_AUTHORIZATION=bearer)
            assert answer.startswith(("Status: 500 ", "Status: 403 "))
