"""What an administrator ends is refused by an API that has a real authority's token in its hand."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from authsec import AuthSecClient, InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.clock import Clock
from authsec.jose import parse_compact
from authsec.verifier.revocations.policy import NoRevocations
from free_ports import free_port


def outcome(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def seconds_until(refused: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not refused():
        assert time.monotonic() - began < 10, "it was accepted on"
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.mark.sqlite_suffices
def test_what_ends_is_refused_at_once_and_all_is_refused_without_the_authority(serve: Any) -> None:
    its = serve()
    later = 0.0
    clock = Clock(wall=lambda: time.time() + later, monotonic=lambda: time.monotonic() + later)
    verifier = TokenVerifier(its.url, "authsec-api", revocations="fail_closed", clock=clock)
    role = its.role("Reader", "customers:read", "customers:write")
    agents = [its.agent(f"Agent {n}") for n in range(4)]
    delegations = [its.delegate(role, agent, "customers:read") for agent in agents]
    tokens = [its.ask(agent).json()["token"] for agent in agents]

    def refused(*numbers: int) -> Callable[[], bool]:
        return lambda: all((outcome(verifier, tokens[n]) == "token_revoked") == (n in numbers) for n in range(4))

    assert refused()()
    its.post(f"delegations/{delegations[0]}/revoke")
    assert seconds_until(refused(0)) < 3
    its.post(f"clients/{agents[1].client_id}/disable")
    assert seconds_until(refused(0, 1)) < 3
    its.post(f"clients/{agents[1].client_id}/enable")
    renewed = its.ask(agents[1]).json()["token"]
    assert (outcome(verifier, renewed), outcome(verifier, tokens[1])) == ("accepted", "token_revoked")

    fresh = TokenVerifier(
        its.url, "authsec-api", revocations="fail_closed", clock=clock
    )  # learns it from the beginning
    assert outcome(fresh, tokens[0]) == "token_revoked"
    its.stop(signal.SIGKILL)
    assert outcome(verifier, tokens[2]) == "accepted"  # a short outage is ridden out
    seconds_until(lambda: "nothing accepts connections" in str(verifier.health().revocations))
    later = 31.0
    assert outcome(verifier, tokens[2]) == "revocations_unavailable"
    assert outcome(verifier, tokens[0]) == "token_revoked"
    for each in (verifier, fresh):
        each.close()


@pytest.mark.postgresql_suffices
def test_several_servers_are_one_authority_and_one_that_is_killed_is_come_back_to(serve: Any) -> None:
    """What another process ends is heard, and what ended while nobody was there to tell."""
    first = serve()
    second = serve(port=free_port(), AUTHSEC_SERVER_PUBLIC_URL=first.url)
    role = first.role("Reader", "customers:read")
    agents = [first.agent(f"Agent {n}") for n in range(3)]
    delegations = [second.delegate(role, agent, "customers:read") for agent in agents]
    tokens = [server.ask(agent).json()["token"] for server, agent in zip((first, second, first), agents, strict=True)]
    verifier = TokenVerifier(first.url, "authsec-api", revocations="fail_closed")

    def outcomes() -> list[str]:
        return [outcome(verifier, token) for token in tokens]

    assert outcomes() == ["accepted"] * 3
    second.post(f"delegations/{delegations[0]}/revoke")
    assert seconds_until(lambda: outcomes() == ["token_revoked", "accepted", "accepted"]) < 3
    first.stop(signal.SIGKILL)
    second.post(f"clients/{agents[1].client_id}/disable")
    assert outcomes() == ["token_revoked", "accepted", "accepted"], "who follows the first knows nothing of it yet"
    serve(port=int(first.url.rpartition(":")[2]))
    assert seconds_until(lambda: outcomes() == ["token_revoked", "token_revoked", "accepted"]) < 5
    verifier.close()


def kid(token: str) -> str:
    return str(parse_compact(token).header["kid"])


@pytest.mark.soak  # the test before ends a delegation and an agent elsewhere
@pytest.mark.postgresql_suffices
def test_a_token_and_a_key_that_were_ended_elsewhere(serve: Any) -> None:
    first = serve()
    second = serve(port=free_port(), AUTHSEC_SERVER_PUBLIC_URL=first.url)
    role = first.role("Reader", "customers:read")
    agents = [first.agent(f"Agent {n}") for n in range(3)]
    for agent in agents:
        first.delegate(role, agent, "customers:read")
    tokens = [first.ask(agent).json()["token"] for agent in agents]
    later = 0.0
    clock = Clock(wall=time.time, monotonic=lambda: time.monotonic() + later)
    follows = TokenVerifier(first.url, "authsec-api")
    offline = TokenVerifier(first.url, "authsec-api", revocations=NoRevocations(), clock=clock)

    def outcomes(verifier: TokenVerifier) -> list[str]:
        return [outcome(verifier, token) for token in tokens]

    assert outcomes(follows) == outcomes(offline) == ["accepted"] * 3
    second.post("tokens/revoke", token=tokens[0], reason="Seen in a chat")
    assert seconds_until(lambda: outcomes(follows) == ["token_revoked", "accepted", "accepted"]) < 3
    AuthSecClient(base_url=second.url, client_id=agents[1].client_id).revoke_token(tokens[1])
    assert seconds_until(lambda: outcomes(follows) == ["token_revoked", "token_revoked", "accepted"]) < 3

    second.post(f"keys/{kid(tokens[2])}/revoke")
    assert seconds_until(lambda: outcomes(follows) == ["token_revoked"] * 3) < 3
    renewed = first.ask(agents[2]).json()["token"]
    assert kid(renewed) != kid(tokens[2]), "the server that was not told signs with another, too"
    assert outcome(follows, renewed) == outcome(offline, renewed) == "accepted"
    later = 601.0  # twice as long as a key set is used as it is
    assert outcomes(offline) == ["kid_unknown"] * 3
    for verifier in (follows, offline):
        verifier.close()
