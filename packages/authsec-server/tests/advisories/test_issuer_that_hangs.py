"""Attack: a stranger sends tokens that name an issuer whose key set hangs, and nothing proves them.

Each looked for a key and waited for the same fetch, in a worker thread of its own. Soon none was free, and the agents
of every other issuer waited, too.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from authsec_server.issuers.key_cache import Waiters
from authsec_server.issuers.key_sets import WAITING, WAITING_FOR_ONE
from long_runs import some_of
from serving import serving
from trusted_issuers import ENDPOINT, agent, trust
from workload_evidence import CLUSTER, kubernetes, spire

NAMESPACE = ("k8s:ns", "production")
SPIFFE_ID = ("spiffe:id", "spiffe://example.org/ns/production/sa/customer-support-sa")
STRANGERS = 60


class KeyServer:
    """Publishes a key set until it is told to hang: then it says nothing until it is asked no more."""

    def __init__(self, peers: Any, peer: Callable[..., Any], jwks: dict[str, Any]) -> None:
        self.hangs, self.asked, self.left = False, threading.Event(), threading.Event()
        self._said = peers.http(jwks)
        self.url: str = peer(self._say).url + "/keys"

    def _say(self, connection: socket.socket, _request: bytes) -> None:
        if not self.hangs:
            connection.sendall(self._said)
            return
        self.asked.set()
        connection.settimeout(60)
        connection.recv(1)
        self.left.set()


@pytest.fixture
def strangers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(STRANGERS) as pool:
        yield pool


@pytest.mark.soak
@pytest.mark.parametrize(
    "has_keys", some_of([False, True], each=2), ids=["whose keys were never fetched", "with an invented key"]
)
def test_unproved_tokens_of_an_issuer_that_hangs_do_not_delay_agents_of_another(
    house: Callable[..., Any], peers: Any, peer: Callable[..., Any], strangers: ThreadPoolExecutor, has_keys: bool
) -> None:
    its = house(outbound_private_hosts=("127.0.0.1",))
    slow, other = kubernetes(issuer=CLUSTER), spire()
    slow_keys, other_keys = KeyServer(peers, peer, slow.jwks), KeyServer(peers, peer, other.jwks)
    trust(its, slow, keys_from="url", given_keys=None, keys_url=slow_keys.url)
    trust(its, other, keys_from="url", given_keys=None, keys_url=other_keys.url)
    theirs = agent(its, slow, NAMESPACE, name="Theirs")
    ours = agent(its, other, SPIFFE_ID, name="Ours")
    with serving(its) as url, httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:

        def ask(client_id: str, token: str) -> Any:
            headers = {"Authorization": f"Bearer {token}", "Host": "127.0.0.1"}
            return http.get(ENDPOINT, params={"client_id": client_id}, headers=headers)

        if has_keys:
            assert ask(theirs, slow.token()).status_code == 200
            its.clock.at = slow.now = other.now = its.clock.at.replace(minute=5)  # keys are looked for again
        slow_keys.hangs = True
        invented = slow.token(key=other.key, header={"alg": other.key.algorithm, "kid": "invented"})
        asking = [strangers.submit(ask, theirs, invented) for _ in range(STRANGERS)]
        assert slow_keys.asked.wait(20)
        answers = [ask(ours, other.token()) for _ in range(10)]
        assert not slow_keys.left.is_set(), "the fetch was still hanging meanwhile"
        if has_keys:
            assert ask(theirs, slow.token()).status_code == 200, "its own agents go on with the keys that are held"
        refused = [each.result(60) for each in asking]
    assert [each.status_code for each in answers] == [200] * 10
    assert {each.status_code for each in refused} == {503}
    assert all(each.json()["retryable"] for each in refused)


def test_few_threads_wait_for_one_issuer_and_not_many_more_for_all() -> None:
    event, of_all = threading.Event(), Waiters(WAITING)
    of_each = [Waiters(WAITING_FOR_ONE, among=of_all) for _ in range(10)]
    waiting = [threading.Thread(target=each.wait, args=(event, 20)) for each in of_each for _ in range(10)]
    for thread in waiting:
        thread.start()
    deadline = time.monotonic() + 20
    while (alive := sum(thread.is_alive() for thread in waiting)) > WAITING:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert alive == WAITING, "the others did not wait"
    assert not of_each[0].wait(event, 20), "at once"
    event.set()
    for thread in waiting:
        thread.join(20)
    assert of_each[0].wait(event, 0)
