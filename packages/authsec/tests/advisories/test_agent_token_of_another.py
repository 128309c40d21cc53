"""One agent, or one request, is served the token of another.

Caches of 2025 and 2026 keyed a token by the id that was asked for and not by the one that came back, or by a key with
an empty part, so that unrelated callers got each other's tokens. Here the answer must be for the agent that asked, and
asking for some actions can never be answered with the cached token for all of them.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec import AuthSecClient, InvalidResponse
from authsec.tokens import TokenRequest
from hypothesis import given
from hypothesis import strategies as st

actions = st.frozensets(st.from_regex(r"[a-c]:[a-c]", fullmatch=True), min_size=1)
apis = st.frozensets(st.sampled_from(["crm", "erp", "https://a.example"]), min_size=1)
wanted = st.tuples(st.none() | actions, st.none() | apis)


def test_a_token_for_another_agent_is_refused(client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [authority.grant(client_id="11111111-1111-4111-8111-111111111111")]
    with pytest.raises(InvalidResponse, match="for another agent"):
        client.get_delegation_token()
    assert client.get_delegation_token() in authority.tokens


@given(wanted, wanted)
def test_different_wishes_never_share_an_entry(one: Any, other: Any) -> None:
    def request(wish: Any) -> TokenRequest:
        return TokenRequest.of(*(None if part is None else sorted(part) for part in wish))

    assert (request(one) == request(other)) == (one == other)
