"""An attacker guesses slugs at the token endpoint, and measures the time of each refusal.

An unknown slug was refused after one statement, and a known one after seven and a verification: 4.7 ms against 7.1 ms.
The attacker needs no credential for that. Now the same work is done for another client, and its result is ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from authsec.jose import PrivateKey, PublicKey
from authsec_server.attestation import client_secret
from sqlalchemy import Engine, event
from token_endpoint import asserted, by_assertion, post
from trusted_issuers import agent, trust
from workload_evidence import kubernetes

KEYS = [PrivateKey.generate_ec(), PrivateKey.generate_ed25519(), PrivateKey.generate_rsa()]
API = "/authsec/api/v1"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What the server does during a request: its SQL statements, and its checks of signatures and secrets."""
    done: Counter[str] = Counter()

    def counted(of: Any, name: str) -> None:
        original = getattr(of, name)

        def call(*args: Any, **named: Any) -> Any:
            done[name] += 1
            return original(*args, **named)

        monkeypatch.setattr(of, name, call)

    counted(PublicKey, "verify")
    counted(client_secret, "compare_digest")

    def note(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        done[statement] += 1

    @contextmanager
    def counting() -> Iterator[Counter[str]]:
        done.clear()
        event.listen(Engine, "before_cursor_execute", note)
        try:
            yield done
        finally:
            event.remove(Engine, "before_cursor_execute", note)

    return counting


def keyed(its: Any) -> str:
    its.delegated_agent("Keyed", key=KEYS[0])
    return "keyed"


def secretive(its: Any) -> str:
    client_id = its.delegated_name("Secretive")
    its.door().post(f"{API}/clients/{client_id}/proofs", json={"platform": "secret"})
    return "secretive"


def workload(its: Any) -> str:
    its.cluster = kubernetes()
    trust(its, its.cluster)
    agent(its, its.cluster, ("k8s:ns", "production"), ("k8s:sa", "another-sa"), name="Pod")
    return "pod"


def refused(its: Any, name: str) -> None:
    """Each way to authenticate, for a client that the caller is not."""
    http = its.door()
    answers = [post(http, client_id=name, client_secret="authsec_cs_" + "x" * 49)]
    answers += [by_assertion(http, asserted(key, name, its.clock.now(), sub="mallory")) for key in KEYS]
    answers.append(by_assertion(http, kubernetes().token(sub="system:serviceaccount:a:b"), client_id=name))
    assert {answer.status_code for answer in answers} == {401}


@pytest.mark.parametrize("onboard", [keyed, secretive, workload])
def test_the_work_for_an_unknown_slug_is_that_for_a_client(house_on_each: Any, work: Any, onboard: Any) -> None:
    its = house_on_each(local_operator=True)
    known = onboard(its)
    done = {}
    for name in (known, "no-such-agent"):
        refused(its, name)  # the first refusal of a minute is another statement than the next one
        with work() as counted:
            refused(its, name)
        done[name] = {**counted}
    assert done["no-such-agent"] == done[known]
    assert done[known]["compare_digest"] > 0
    assert any("delegation" in statement for statement in done[known])
    assert onboard is not keyed or done[known]["verify"] > 0


def test_the_credential_of_the_client_that_stands_in_does_not_help(house: Any) -> None:
    """There is one client, so it stands in for each unknown slug. Its own proofs are not valid under another name."""
    its = house(local_operator=True)
    one = its.delegated_agent("Keyed", key=KEYS[0])
    made = its.door().post(f"{API}/clients/{one.client_id}/proofs", json={"platform": "secret"}).json()
    secret = made["client_secret"]
    http = its.door()
    assert post(http, client_id="keyed", client_secret=secret).status_code == 200
    for kept in (True, False):  # whether the facts of the client are in memory
        if not kept:
            its.authority.tokens.recent._kept.clear()
        answers = [
            post(http, client_id="keyde", client_secret=secret),
            post(http, auth=("keyde", secret)),
            by_assertion(http, asserted(KEYS[0], "keyde", its.clock.now())),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")
            assert one.client_id not in answer.text
    refusals = http.get(f"{API}/events", params={"decision": "denied"}).json()["items"]
    assert {(each["reason"], each["client"]) for each in refusals} == {("client_not_found", None)}


def test_an_authority_without_clients_refuses_each_slug(house: Any) -> None:
    refused(house(), "no-such-agent")
