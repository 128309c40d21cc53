"""A slip in the proxy's configuration, and everybody with any token is let in to everything.

A server that takes what it does not understand for "nothing is needed" fails open where nobody looks: the right callers
still get in. So a question without a requirement, or with something else in it, is never answered with yes.
"""

from __future__ import annotations

import string

from authsec.verify_server.requirement import ANY_AGENT, Misconfigured, Requirement
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


@given(st.text(alphabet=string.ascii_lowercase + "=&,:_%;+", max_size=40) | st.text(max_size=20))
def test_what_is_understood_needs_something_by_name(query: str) -> None:
    try:
        understood = Requirement.read(query)
    except Misconfigured:
        return
    assert understood.all_of or understood.any_of or ANY_AGENT in query
