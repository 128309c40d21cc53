"""The stand-in for a Kubernetes API server, driven by the official client: its shapes are those of the real one."""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import kubernetes
import pytest
from authsec.jose import PrivateKey, PublicKey, parse_compact
from authsec_demo.cluster.kubelet import Kubelet
from authsec_demo.cluster.running import Cluster, running_cluster
from kubernetes.client import ApiException

pytestmark = pytest.mark.soak  # test_next_step_of_a_pod.py uses the cluster in every run

OURS = "https://authsec.example.com"
NAMESPACE, ACCOUNT = "production", "customer-support-sa"
LABELS = {"app": "customer-support", "tier": "gold"}


class Clock:
    """A clock that goes forward when it is told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> Iterator[Cluster]:
    with running_cluster(now=clock) as running:
        running.create_account(NAMESPACE, ACCOUNT)
        yield running


@pytest.fixture
def pod(cluster: Cluster) -> Any:
    return cluster.run_pod(
        NAMESPACE, "agent-1", account=ACCOUNT, labels=LABELS, containers={"agent": "agent:1", "proxy": "envoy:1"}
    )


@pytest.fixture
def admin(cluster: Cluster, tmp_path: Path) -> Iterator[kubernetes.client.ApiClient]:
    """The administrator, as any tool of Kubernetes signs in: by the kubeconfig."""
    kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig")
    assert kubeconfig.stat().st_mode & 0o077 == 0
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as client:
        yield client


@contextmanager
def caller(cluster: Cluster, tmp_path: Path, token: str | None) -> Iterator[kubernetes.client.ApiClient]:
    """Somebody with that bearer token."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(cluster.authority)
    configuration = kubernetes.client.Configuration(host=cluster.url)
    configuration.ssl_ca_cert = str(ca)
    if token is not None:
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    with kubernetes.client.ApiClient(configuration) as client:
        yield client


def review(client: kubernetes.client.ApiClient, token: str, *audiences: str) -> Any:
    """What the API server says of a token."""
    spec = kubernetes.client.V1TokenReviewSpec(token=token, audiences=list(audiences) or None)
    asked = kubernetes.client.V1TokenReview(spec=spec)
    return kubernetes.client.AuthenticationV1Api(client).create_token_review(asked).status


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_a_projected_token_has_the_claims_of_a_real_one(
    admin: kubernetes.client.ApiClient, cluster: Cluster, clock: Clock, pod: Any
) -> None:
    """By TokenRequest, as the kubelet asks for it."""
    core = kubernetes.client.CoreV1Api(admin)
    reference = kubernetes.client.V1BoundObjectReference(
        api_version="v1", kind="Pod", name="agent-1", uid=pod["metadata"]["uid"]
    )
    spec = kubernetes.client.V1TokenRequestSpec(audiences=[OURS], expiration_seconds=3600, bound_object_ref=reference)
    asked = kubernetes.client.AuthenticationV1TokenRequest(spec=spec)
    answer = core.create_namespaced_service_account_token(ACCOUNT, NAMESPACE, asked)
    (node,) = core.list_node().items
    account = core.read_namespaced_service_account(ACCOUNT, NAMESPACE)
    claims = claims_of(answer.status.token)
    assert len(claims.pop("jti")) == 36
    assert claims == {
        "aud": [OURS],
        "exp": int(clock.now) + 3600,
        "iat": int(clock.now),
        "nbf": int(clock.now),
        "iss": cluster.issuer,
        "kubernetes.io": {
            "namespace": NAMESPACE,
            "node": {"name": node.metadata.name, "uid": node.metadata.uid},
            "pod": {"name": "agent-1", "uid": pod["metadata"]["uid"]},
            "serviceaccount": {"name": ACCOUNT, "uid": account.metadata.uid},
        },
        "sub": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}",
    }


def test_its_keys_are_published_where_discovery_says(
    admin: kubernetes.client.ApiClient, cluster: Cluster, tmp_path: Path
) -> None:
    """To service accounts, too; to strangers not, as in every cluster unless somebody allows it."""
    token = cluster.token(NAMESPACE, ACCOUNT)
    with http(cluster, token) as client:
        discovery = client.get("/.well-known/openid-configuration").json()
        assert (discovery["issuer"], discovery["jwks_uri"]) == (cluster.issuer, f"{cluster.url}/openid/v1/jwks")
        (jwk,) = client.get(discovery["jwks_uri"]).json()["keys"]
    jws = parse_compact(token)
    assert jws.header == {"alg": "RS256", "kid": jwk["kid"]}
    jws.verified_by(PublicKey.from_jwk(jwk), algorithms={"RS256"})
    assert kubernetes.client.OpenidApi(admin).get_service_account_issuer_open_id_keyset()
    with http(cluster) as nobody:
        refused = nobody.get("/openid/v1/jwks")
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        'forbidden: User "system:anonymous" cannot get path "/openid/v1/jwks"',
    )


def test_a_cluster_may_sign_with_an_elliptic_curve() -> None:
    with running_cluster(key=PrivateKey.generate_ec()) as cluster:
        token = cluster.token("default", "default")
        with http(cluster, token) as client:
            (jwk,) = client.get("/openid/v1/jwks").json()["keys"]
        parse_compact(token).verified_by(PublicKey.from_jwk(jwk), algorithms={"ES256"})


def test_a_token_is_reviewed_for_the_audiences_that_are_asked_for(
    admin: kubernetes.client.ApiClient, cluster: Cluster, pod: Any
) -> None:
    token = cluster.token(NAMESPACE, ACCOUNT, pod=pod, audiences=[OURS, "https://other.example.com"])
    status = review(admin, token, "https://third.example.com", OURS)
    assert (status.authenticated, status.audiences, status.error) == (True, [OURS], None)
    assert status.user.username == f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    assert status.user.uid == claims_of(token)["kubernetes.io"]["serviceaccount"]["uid"]
    assert status.user.groups == [
        "system:serviceaccounts",
        f"system:serviceaccounts:{NAMESPACE}",
        "system:authenticated",
    ]
    claims = claims_of(token)
    assert status.user.extra == {
        "authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"],
        "authentication.kubernetes.io/node-name": ["node-1"],
        "authentication.kubernetes.io/node-uid": [claims["kubernetes.io"]["node"]["uid"]],
        "authentication.kubernetes.io/pod-name": ["agent-1"],
        "authentication.kubernetes.io/pod-uid": [pod["metadata"]["uid"]],
    }
    refused = review(admin, token)
    assert not refused.authenticated
    assert refused.error == (
        f'[invalid bearer token, token audiences ["{OURS}" "https://other.example.com"] is invalid for the target '
        f'audiences ["{cluster.issuer}"]]'
    )


def test_every_pod_has_a_token_for_the_api_server_itself(
    cluster: Cluster, pod: Any, clock: Clock, tmp_path: Path
) -> None:
    """The one that is mounted by default. It asks for an hour and gets a year, with a claim that says since when."""
    root = cluster.kubelet(tmp_path).mount(pod, "agent")
    token = (root / "var/run/secrets/kubernetes.io/serviceaccount/token").read_text("ascii")
    claims = claims_of(token)
    assert claims["aud"] == [cluster.issuer]
    assert claims["exp"] == int(clock.now) + 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] == int(clock.now) + 3607
    with caller(cluster, tmp_path, token) as client:
        assert kubernetes.client.VersionApi(client).get_code().major == "1"


def test_a_token_ends_with_what_it_is_bound_to(
    admin: kubernetes.client.ApiClient, cluster: Cluster, pod: Any, clock: Clock
) -> None:
    core = kubernetes.client.CoreV1Api(admin)

    def error(token: str) -> str:
        status = review(admin, token, OURS)
        assert status.authenticated is None, "what is false is missing from the real answer"
        assert status.audiences is None
        return str(status.error).removeprefix("[invalid bearer token, ").removesuffix("]")

    of_pod = cluster.token(NAMESPACE, ACCOUNT, pod=pod, audiences=[OURS], seconds=3600)
    core.delete_namespaced_pod("agent-1", NAMESPACE, grace_period_seconds=30)
    assert core.read_namespaced_pod("agent-1", NAMESPACE).metadata.deletion_timestamp
    assert review(admin, of_pod, OURS).authenticated, "it terminates, and may use its token until then"
    clock.now += 91
    assert error(of_pod) == "service account token has been invalidated"
    core.delete_namespaced_pod("agent-1", NAMESPACE)
    namesake = cluster.run_pod(NAMESPACE, "agent-1", account=ACCOUNT)
    assert error(of_pod) == (
        f"pod UID ({namesake['metadata']['uid']}) does not match service account pod ref claim "
        f"({pod['metadata']['uid']})"
    )
    of_account = cluster.token(NAMESPACE, ACCOUNT, audiences=[OURS])
    core.delete_namespaced_service_account(ACCOUNT, NAMESPACE)
    assert error(of_account) == f'serviceaccounts "{ACCOUNT}" not found'
    cluster.create_account(NAMESPACE, ACCOUNT)
    assert re.fullmatch(r"service account UID \(.*\) does not match claim \(.*\)", error(of_account))
    expired = cluster.token(NAMESPACE, ACCOUNT, audiences=[OURS])
    clock.now += 3661
    assert error(expired) == "service account token has expired"


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("nonsense", "invalid bearer token"),
        ("of another cluster", "[invalid bearer token, invalid signature, no keys found]"),
        ("forged", "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]"),
    ],
)
def test_what_no_key_of_the_cluster_signed_is_nobodys(
    admin: kubernetes.client.ApiClient, cluster: Cluster, token: str, error: str
) -> None:
    if token == "of another cluster":
        with running_cluster() as another:
            token = another.token("default", "default", audiences=[OURS])
    elif token == "forged":
        head, payload, _ = cluster.token(NAMESPACE, ACCOUNT, audiences=[OURS]).split(".")
        token = f"{head}.{payload}.{'A' * 342}"
    status = review(admin, token, OURS)
    assert (status.authenticated, status.error) == (None, error)


def test_pods_are_as_the_api_server_gives_them(admin: kubernetes.client.ApiClient, pod: Any) -> None:
    core = kubernetes.client.CoreV1Api(admin)
    read = core.read_namespaced_pod("agent-1", NAMESPACE)
    assert (read.metadata.uid, read.metadata.labels) == (pod["metadata"]["uid"], LABELS)
    assert (read.spec.service_account_name, read.spec.node_name, read.status.phase) == (ACCOUNT, "node-1", "Running")
    assert [(each.name, each.image) for each in read.spec.containers] == [("agent", "agent:1"), ("proxy", "envoy:1")]
    assert [each.name for each in read.status.container_statuses] == ["agent", "proxy"]
    assert [each.metadata.name for each in core.list_pod_for_all_namespaces(label_selector="tier=gold").items] == [
        "agent-1"
    ]
    assert core.list_namespaced_pod("default").items == []
    assert core.list_namespaced_pod(NAMESPACE, label_selector="app=customer-support,tier=silver").items == []
    core.patch_namespaced_pod("agent-1", NAMESPACE, {"metadata": {"labels": {"tier": None, "app": "other"}}})
    assert core.read_namespaced_pod("agent-1", NAMESPACE).metadata.labels == {"app": "other"}


def test_a_namespace_has_its_account_and_takes_all_that_is_in_it_along(
    admin: kubernetes.client.ApiClient, cluster: Cluster, pod: Any
) -> None:
    core = kubernetes.client.CoreV1Api(admin)
    accounts = [each.metadata.name for each in core.list_namespaced_service_account(NAMESPACE).items]
    assert accounts == [ACCOUNT, "default"]
    core.delete_namespace(NAMESPACE)
    assert core.list_pod_for_all_namespaces().items == []
    nameless: Any = {"metadata": {"name": "Production"}}
    for status, given in ((404, NAMESPACE), (422, nameless), (409, {"metadata": {"name": "default"}})):
        with pytest.raises(ApiException) as refused:
            core.read_namespace(given) if isinstance(given, str) else core.create_namespace(given)
        assert refused.value.status == status


def test_a_deployment_runs_pods_that_are_replaced_until_it_is_deleted(
    admin: kubernetes.client.ApiClient, cluster: Cluster
) -> None:
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"serviceAccountName": ACCOUNT, "containers": [{"name": "agent", "image": "agent:1"}]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "customer-support", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template},
    }
    kubernetes.utils.create_from_dict(admin, deployment)
    core = kubernetes.client.CoreV1Api(admin)
    (first,) = core.list_namespaced_pod(NAMESPACE, label_selector="app=customer-support").items
    (owner,) = first.metadata.owner_references
    assert (owner.kind, owner.controller) == ("ReplicaSet", True)
    assert first.metadata.name.startswith(f"{owner.name}-")
    core.delete_namespaced_pod(first.metadata.name, NAMESPACE)
    (second,) = core.list_namespaced_pod(NAMESPACE).items
    assert second.metadata.uid != first.metadata.uid
    kubernetes.client.AppsV1Api(admin).delete_namespaced_deployment("customer-support", NAMESPACE)
    assert core.list_namespaced_pod(NAMESPACE).items == []


def test_whoever_nobody_is_hears_401_and_whoever_may_not_403(cluster: Cluster, pod: Any, tmp_path: Path) -> None:
    with caller(cluster, tmp_path, "nonsense") as client, pytest.raises(ApiException) as unknown:
        kubernetes.client.CoreV1Api(client).read_namespaced_pod("agent-1", NAMESPACE)
    assert (unknown.value.status, json.loads(unknown.value.body)) == (
        401,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Unauthorized",
            "reason": "Unauthorized",
            "code": 401,
        },
    )
    for_us = cluster.token(NAMESPACE, ACCOUNT, audiences=[OURS])
    with caller(cluster, tmp_path, for_us) as client, pytest.raises(ApiException) as elsewhere:
        kubernetes.client.CoreV1Api(client).read_namespaced_pod("agent-1", NAMESPACE)
    assert elsewhere.value.status == 401, "a token for somebody else signs nobody in here"
    with caller(cluster, tmp_path, cluster.token(NAMESPACE, ACCOUNT)) as client:
        with pytest.raises(ApiException) as pods:
            kubernetes.client.CoreV1Api(client).read_namespaced_pod("agent-1", NAMESPACE)
        with pytest.raises(ApiException) as reviews:
            review(client, for_us, OURS)
    user = f'User "system:serviceaccount:{NAMESPACE}:{ACCOUNT}"'
    assert (pods.value.status, message(pods.value)) == (
        403,
        f'pods "agent-1" is forbidden: {user} cannot get resource "pods" in API group "" in the namespace '
        f'"{NAMESPACE}"',
    )
    assert (reviews.value.status, message(reviews.value)) == (
        403,
        f'tokenreviews.authentication.k8s.io is forbidden: {user} cannot create resource "tokenreviews" in API group '
        '"authentication.k8s.io" at the cluster scope',
    )


def test_a_role_gives_what_it_says_where_it_is_bound_and_nothing_else(
    admin: kubernetes.client.ApiClient, cluster: Cluster, pod: Any, tmp_path: Path
) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"], "resourceNames": ["default"]},
    ]
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pod-reader"}
    version = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    role = {**version, "kind": "ClusterRole", "metadata": {"name": "pod-reader"}, "rules": rules}
    binding = {**version, "metadata": {"name": "pod-reader", "namespace": NAMESPACE}, "roleRef": reference}
    kubernetes.utils.create_from_dict(admin, role)
    kubernetes.utils.create_from_dict(admin, {**binding, "kind": "RoleBinding", "subjects": subjects})
    cluster.run_pod("default", "elsewhere")
    with caller(cluster, tmp_path, cluster.token("default", "default")) as client:
        core = kubernetes.client.CoreV1Api(client)
        assert core.read_namespaced_pod("agent-1", NAMESPACE).metadata.uid == pod["metadata"]["uid"]
        assert core.read_namespaced_service_account("default", NAMESPACE).metadata.name == "default"
        for forbidden in (
            lambda: core.list_namespaced_pod(NAMESPACE),
            lambda: core.read_namespaced_service_account(ACCOUNT, NAMESPACE),
            lambda: core.read_namespaced_pod("elsewhere", "default"),
        ):
            with pytest.raises(ApiException, match="is forbidden"):
                forbidden()


def test_what_is_not_there_or_makes_no_sense_is_said_in_the_api_servers_words(
    admin: kubernetes.client.ApiClient, cluster: Cluster, pod: Any
) -> None:
    core = kubernetes.client.CoreV1Api(admin)

    def refused(status: int, words: str, call: Callable[[], object]) -> None:
        with pytest.raises(ApiException) as error:
            call()
        assert (error.value.status, message(error.value)) == (status, words)

    def token(account: str, **spec: Any) -> Callable[[], object]:
        body: Any = {"spec": {"audiences": [OURS], **spec}}
        return lambda: core.create_namespaced_service_account_token(account, NAMESPACE, body)

    refused(404, 'pods "gone" not found', lambda: core.read_namespaced_pod("gone", NAMESPACE))
    refused(404, 'serviceaccounts "gone" not found', token("gone"))
    refused(404, 'pods "gone" not found', token(ACCOUNT, boundObjectRef=bound_to("gone")))
    refused(
        400,
        'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.',
        token("default", boundObjectRef=bound_to("agent-1")),
    )
    refused(
        409,
        'Operation cannot be fulfilled on Pod "agent-1": the UID in the bound object reference (0) does not match '
        "the UID in record. The object might have been deleted and then recreated",
        token(ACCOUNT, boundObjectRef={**bound_to("agent-1"), "uid": "0"}),
    )
    refused(
        422,
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify '
        "a duration less than 10 minutes",
        token(ACCOUNT, expirationSeconds=60),
    )
    refused(400, "token is required for TokenReview in authentication", lambda: review(admin, "", OURS))
    stray: Any = {"metadata": {"name": "stray"}, "spec": {"serviceAccountName": "gone", "containers": []}}
    refused(
        403,
        f'pods "stray" is forbidden: error looking up service account {NAMESPACE}/gone: serviceaccount "gone" '
        "not found",
        lambda: core.create_namespaced_pod(NAMESPACE, stray),
    )
    with http(cluster, cluster.admin_token) as client:
        assert client.get("/api/v1/secretz").json()["message"] == "the server could not find the requested resource"
        protobuf = {"Content-Type": "application/vnd.kubernetes.protobuf"}
        assert client.post("/api/v1/namespaces", content=b"k8s", headers=protobuf).status_code == 415


def test_the_cluster_can_be_discovered(admin: kubernetes.client.ApiClient) -> None:
    """What tools ask before they do anything: versions, groups, resources."""
    assert kubernetes.client.CoreApi(admin).get_api_versions().versions == ["v1"]
    found = [group.name for group in kubernetes.client.ApisApi(admin).get_api_versions().groups]
    assert found == ["apps", "rbac.authorization.k8s.io", "authentication.k8s.io"]
    listed = kubernetes.client.CoreV1Api(admin).get_api_resources().resources
    assert {"pods", "serviceaccounts", "serviceaccounts/token"} <= {each.name for each in listed}
    reviews = kubernetes.client.AuthenticationV1Api(admin).get_api_resources().resources
    assert [(each.name, each.verbs) for each in reviews] == [("tokenreviews", ["create"])]


def test_the_kubelet_renews_the_token_in_its_file(cluster: Cluster, clock: Clock, tmp_path: Path) -> None:
    """At four fifths of its life, and only while the pod is there."""
    token = {"serviceAccountToken": {"audience": OURS, "expirationSeconds": 3600, "path": "token"}}
    mount = {"name": "authsec", "mountPath": "/var/run/secrets/authsec"}
    given = {
        "containers": [{"name": "agent", "image": "agent:1", "volumeMounts": [mount]}],
        "volumes": [{"name": "authsec", "projected": {"sources": [token]}}],
    }
    pod = cluster.run_pod(NAMESPACE, "agent-1", account=ACCOUNT, spec=given)
    kubelet: Kubelet = cluster.kubelet(tmp_path)
    file = kubelet.mount(pod, "agent") / "var/run/secrets/authsec/token"
    tokens = [file.read_text("ascii")]
    for seconds in (2879, 2, 2879):
        clock.now += seconds
        kubelet.renew()
        tokens.append(file.read_text("ascii"))
    assert tokens[0] == tokens[1] != tokens[2] == tokens[3]
    assert claims_of(tokens[2])["exp"] == claims_of(tokens[0])["exp"] + 2881
    cluster.delete_pod(NAMESPACE, "agent-1")
    clock.now += 2881
    kubelet.renew()
    assert file.read_text("ascii") == tokens[3]


def bound_to(pod: str) -> dict[str, str]:
    return {"kind": "Pod", "apiVersion": "v1", "name": pod}


def message(error: ApiException) -> str:
    text: str = json.loads(error.body)["message"]
    return text


def http(cluster: Cluster, token: str = "") -> httpx2.Client:
    """Somebody without the official client, with that token or none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    trust = ssl.create_default_context(cadata=cluster.authority.decode())
    return httpx2.Client(base_url=cluster.url, verify=trust, trust_env=False, headers=headers)
