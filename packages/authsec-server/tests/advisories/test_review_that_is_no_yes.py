"""A TokenReview is answered, and the answer is taken for a yes about this token and this audience.

API servers that know nothing of audiences ignore `spec.audiences` and say yes to a token for anybody; a proxy may
answer about somebody else; JSON has more than one way to be true. Only a yes that names our audience, the account and
its uid, and no other pod, counts. What is neither such a yes nor a no is nobody's answer: it is not kept, and nothing
is proved.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, no_longer, review
from trusted_issuers import agent, shows, trust
from workload_evidence import kubernetes

HELPER = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))
USER = review()["status"]["user"]
NOBODY: list[Any] = [
    review(audiences=None),
    review(audiences=[]),
    review(audiences=["https://kubernetes.default.svc"]),
    review(audiences="http://127.0.0.1:7468"),
    review(user=None),
    review(user=USER | {"username": "system:serviceaccount:production:admin"}),
    review(user=USER | {"username": "system:serviceaccount:staging:customer-support-sa"}),
    review(user=USER | {"uid": "the uid of the account that had this name before"}),
    review(user={name: value for name, value in USER.items() if name != "uid"}),
    review(user=USER | {"extra": {"authentication.kubernetes.io/pod-uid": ["another pod"]}}),
    review(user=USER | {"extra": {"authentication.kubernetes.io/pod-uid": []}}),
    review(authenticated="true"),
    review(authenticated=1),
    review(error="the webhook did not answer"),
    review() | {"kind": "Status"},
    review() | {"status": None},
    {"authenticated": True},
]


@pytest.fixture
def server(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> ApiServer:
    (tmp_path / "credentials").mkdir()
    return ApiServer(peers, peer, tmp_path / "credentials")


def test_no_other_answer_lets_anybody_in(house: Any, server: ApiServer) -> None:
    its, issuer = house(**server.settings), kubernetes()
    trust(its, issuer, may_look_up=True, **server.asked_for(pod_lookup=False))
    client_id = agent(its, issuer, *HELPER)
    door = its.door()
    for said in NOBODY:
        server.review = said
        assert shows(its, client_id, issuer.token(), door=door).status_code == 503, said
    for said in (no_longer(), review(authenticated=False), review(authenticated=None)):
        server.review = said
        assert shows(its, client_id, issuer.token(), door=door).status_code == 401, said
    server.review = review()
    assert shows(its, client_id, issuer.token(), door=door).status_code == 200
    assert len(server.asked) == len(NOBODY) + 4, "nothing but a yes is kept"


def test_a_yes_for_one_audience_is_none_for_another(house: Any, server: ApiServer) -> None:
    """The trusted issuer gets another audience: what was reviewed for the old one is asked anew."""
    its, issuer = house(local_operator=True, **server.settings), kubernetes()
    trust(its, issuer, may_look_up=True, **server.asked_for(pod_lookup=False))
    client_id = agent(its, issuer, *HELPER)
    assert shows(its, client_id, issuer.token()).status_code == 200
    trusted_issuer = "/authsec/api/v1/issuers/cluster-a"
    its.door().patch(trusted_issuer, json={"audience": "authsec"}, headers={"If-Match": '"1"'}).raise_for_status()
    assert shows(its, client_id, issuer.token()).status_code == 401
    assert shows(its, client_id, issuer.token(aud="authsec")).status_code == 503, "this server only says yes for us"
    assert server.reviewed()[-1]["spec"]["audiences"] == ["authsec"]
