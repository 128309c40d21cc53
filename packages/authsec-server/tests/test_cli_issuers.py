"""`authsec issuers`, as a person and as a program use it; a cluster's API server is one on loopback, with real TLS."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from authsec.jose import PrivateKey
from click.testing import Result

Authsec = Callable[..., Result]
KEY = PrivateKey.generate_ec()
JWKS = {"keys": [{**KEY.public.to_jwk(), "kid": "one", "use": "sig"}]}
IN_CLUSTER = "https://kubernetes.default.svc.cluster.local"


class Cluster:
    """The API server, as far as it publishes keys; and the kubeconfig of somebody who may see them."""

    def __init__(self, peers: Any, peer: Callable[..., Any]) -> None:
        self.certificate = peers.Certificate("localhost")
        self._http = peers.http
        self.its = peer(self._say, certificate=self.certificate)
        self.server = self.its.url.replace("127.0.0.1", "localhost")
        self.discovery: dict[str, Any] = {"issuer": IN_CLUSTER, "jwks_uri": "https://10.0.0.1/openid/v1/jwks"}
        self.user: dict[str, Any] = {"token": "a-bearer-token"}
        self.cluster: dict[str, Any] = {
            "server": self.server,
            "certificate-authority-data": base64.b64encode(self.certificate.pem).decode(),
        }

    def _say(self, connection: Any, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        if b"authorization: bearer a-bearer-token" not in request.lower():
            connection.sendall(self._http({}, status="401 Unauthorized"))
        elif path == "/.well-known/openid-configuration":
            connection.sendall(self._http(self.discovery))
        elif path == "/openid/v1/jwks":
            body = json.dumps(JWKS).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    def kubeconfig(self, **top: Any) -> str:
        return yaml.safe_dump(
            {
                "current-context": "prod",
                "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": self.cluster}],
                "users": [{"name": "u", "user": self.user}],
            }
            | top
        )


@pytest.fixture
def cluster(peers: Any, peer: Callable[..., Any]) -> Cluster:
    return Cluster(peers, peer)


@pytest.fixture
def add_cluster(
    authsec: Authsec, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Registers the cluster that the kubeconfig names, as it is by then."""
    path = tmp_path / "kube" / "config"
    path.parent.mkdir()
    monkeypatch.setenv("KUBECONFIG", str(path))

    def add(*arguments: str, text: str | None = None) -> Result:
        path.write_text(cluster.kubeconfig() if text is None else text)
        return authsec("issuers", "add", "kubernetes", "Production", "--from-kubeconfig", *arguments)

    return add


def written(folder: Path, name: str, value: Any) -> str:
    path = folder / name
    path.write_text(json.dumps(value))
    return str(path)


def shown(authsec: Authsec, slug: str) -> Any:
    return json.loads(authsec("issuers", "show", slug, "--json").stdout)


def test_a_cluster_is_registered_with_the_kubeconfig_at_hand(
    authsec: Authsec, add_cluster: Callable[..., Result]
) -> None:
    done = add_cluster()
    assert done.exit_code == 0, done.output
    assert "k8s:node-name, k8s:ns, k8s:pod-name, k8s:pod-uid, k8s:sa" in done.stdout
    assert '            - serviceAccountToken:\n                audience: "http://127.0.0.1:7468"' in done.stdout
    assert "a-bearer-token" not in done.output
    trusted_issuer = shown(authsec, "production")
    assert (trusted_issuer["issuer"], trusted_issuer["keys_from"]) == (IN_CLUSTER, "given")
    assert [key["thumbprint"] for key in trusted_issuer["keys"]["keys"]] == [KEY.public.thumbprint()]


def test_a_named_context_and_files_beside_the_kubeconfig_are_followed(
    authsec: Authsec, add_cluster: Callable[..., Result], cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "kube" / "ca.pem").write_bytes(cluster.certificate.pem)
    (tmp_path / "kube" / "token").write_text("a-bearer-token\n")
    cluster.cluster = {"server": cluster.server, "certificate-authority": "ca.pem"}
    cluster.user = {"tokenFile": "token", "token": "an older one"}
    contexts = [{"name": "other", "context": {"cluster": "c", "user": "u"}}]
    text = cluster.kubeconfig(**{"contexts": contexts, "current-context": "gone"})
    assert "has no context 'gone'" in add_cluster(text=text).stderr
    done = add_cluster("other", text=text)
    assert done.exit_code == 0, done.output


def test_a_client_certificate_is_shown_to_the_api_server(add_cluster: Callable[..., Result], cluster: Cluster) -> None:
    pem, key = cluster.certificate.pem, cluster.certificate._key
    cluster.user = {
        "client-certificate-data": base64.b64encode(pem).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    refused = add_cluster()  # this server wants a token, so it is asked and says no
    assert "/.well-known/openid-configuration answered 401" in refused.stderr
    cluster.user["client-key-data"] = base64.b64encode(b"nonsense").decode()
    assert "cannot be read" in add_cluster().stderr


NOT_FOLLOWED: list[tuple[str, dict[str, Any], str]] = [
    ("user", {"exec": {"command": "aws"}}, "(exec)"),
    ("user", {"auth-provider": {"name": "gcp"}}, "auth-provider"),
    ("user", {"username": "x", "password": "hunter2"}, "password"),
    ("cluster", {"proxy-url": "http://proxy"}, "(proxy-url)"),
    ("cluster", {"insecure-skip-tls-verify": True}, "(insecure-skip-tls-verify)"),
    ("cluster", {"tls-server-name": "x"}, "(tls-server-name)"),
    ("cluster", {"server": "http://cluster.example.com"}, "https address"),
    ("cluster", {"certificate-authority-data": "%"}, "not base64"),
]


@pytest.mark.parametrize(("part", "members", "says"), NOT_FOLLOWED, ids=lambda value: str(value)[:30])
def test_what_is_not_followed_is_said_with_the_two_commands_that_help(
    add_cluster: Callable[..., Result],
    cluster: Cluster,
    tmp_path: Path,
    part: str,
    members: dict[str, Any],
    says: str,
) -> None:
    getattr(cluster, part).update(members)
    refused = add_cluster()
    assert refused.exit_code == 1
    assert says in refused.stderr
    assert "kubectl get --raw /.well-known/openid-configuration" in refused.stderr
    assert "kubectl get --raw /openid/v1/jwks" in refused.stderr
    said = " ".join(refused.stderr.split())
    assert f"add kubernetes NAME --issuer ISSUER --jwks jwks.json --data {tmp_path}" in said
    assert "hunter2" not in refused.output
    assert cluster.its.requests == []


NO_KUBECONFIG = [
    ("{", "is not YAML"),
    ("[]", "is not a kubeconfig"),
    ("current-context: !!python/object/apply:os.getcwd []", "is not YAML"),  # which would run a program
    ("contexts: 7\ncurrent-context: x", "has no context 'x'"),
    ("contexts: []", "names no current context"),
]


@pytest.mark.parametrize(("text", "says"), NO_KUBECONFIG)
def test_a_kubeconfig_that_is_none_is_said_to_be(add_cluster: Callable[..., Result], text: str, says: str) -> None:
    refused = add_cluster(text=text)
    assert refused.exit_code == 1
    assert says in refused.stderr


def test_a_cluster_whose_certificate_is_another_is_not_believed(
    add_cluster: Callable[..., Result], cluster: Cluster, peers: Any
) -> None:
    other = peers.Certificate("localhost").pem
    cluster.cluster["certificate-authority-data"] = base64.b64encode(other).decode()
    assert "certificate is not trusted" in add_cluster().stderr


def test_without_an_issuer_or_with_two_ways_it_says_how(authsec: Authsec) -> None:
    assert "--from-kubeconfig [CONTEXT]" in authsec("issuers", "add", "kubernetes", "X").stderr
    both = authsec("issuers", "add", "kubernetes", "X", "--issuer", "https://x.y", "--from-kubeconfig")
    assert "leave out the options" in both.stderr


def test_keys_from_a_file_are_given(authsec: Authsec, tmp_path: Path) -> None:
    file = written(tmp_path, "jwks.json", JWKS)
    done = authsec("issuers", "add", "kubernetes", "X", "--issuer", IN_CLUSTER, "--jwks", file)
    assert done.exit_code == 0, done.output
    assert shown(authsec, "x")["keys"]["condition"] == "given"


def test_a_private_key_does_not_leave_this_machine(authsec: Authsec, tmp_path: Path) -> None:
    file = written(tmp_path, "jwks.json", {"keys": [{**JWKS["keys"][0], "d": "c2VjcmV0"}]})
    refused = authsec("issuers", "add", "oidc", "X", "--issuer", "https://x.y", "--preset", "github", "--jwks", file)
    assert refused.exit_code == 1
    assert "It was not sent." in refused.stderr
    assert "Consider that key exposed" in refused.stderr
    assert "c2VjcmV0" not in refused.output
    assert authsec("issuers", "list").stdout.strip() == "none"


@pytest.mark.parametrize("text", ["-----BEGIN PRIVATE KEY-----\nc2VjcmV0", '{"kty": "OKP", "d": "c2VjcmV0"}'])
def test_a_private_key_in_place_of_a_set_is_named_one(authsec: Authsec, tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    refused = authsec("issuers", "add", "spiffe", "X", "--trust-domain", "x.org", "--bundle", str(tmp_path / "key"))
    assert refused.exit_code == 1
    assert "PRIVATE key" in refused.stderr
    assert "t was not sent." in refused.stderr
    assert "c2VjcmV0" not in refused.output


def test_a_trust_domain_is_registered_and_shown(authsec: Authsec, tmp_path: Path) -> None:
    bundle = written(tmp_path, "bundle.json", {"keys": [{**JWKS["keys"][0], "use": "jwt-svid"}]})
    add = ("issuers", "add", "spiffe", "Mesh", "--trust-domain")
    assert "Write example.org" in authsec(*add, "spiffe://example.org", "--bundle", bundle).stderr
    assert "Give either" in authsec(*add, "example.org").stderr
    done = authsec(*add, "example.org", "--bundle", bundle)
    assert done.exit_code == 0, done.output
    assert "spiffe:id" in done.stdout
    assert "have the audience http://127.0.0.1:7468" in done.stdout


def test_an_issuer_is_registered_listed_disabled_and_enabled(authsec: Authsec, peers: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(peers.Certificate("x").pem)
    add = ("issuers", "add", "oidc", "CI", "--issuer", "https://10.0.0.7", "--ca-file", str(tmp_path / "ca.pem"))
    assert "could not prove any selector" in authsec(*add).stderr
    assert "write SELECTOR=CLAIM" in authsec(*add, "--claim", "ci:ref").stderr
    done = authsec(*add, "--claim", "ci:ref=ref", "--audience", "us")
    assert done.exit_code == 0, done.output
    assert "own CA" in done.stdout
    assert "have the audience us" in done.stdout
    assert "ci              oidc  https://10.0.0.7  enabled" in authsec("issuers", "list").stdout
    assert "ci is disabled" in authsec("issuers", "disable", "ci").stdout
    assert "disabled" in authsec("issuers", "list").stdout
    assert "ci is enabled" in authsec("issuers", "enable", "ci").stdout
    page = authsec("issuers", "show", "ci").stdout
    assert "no keys could be fetched yet" in page
    assert "ci:ref" in page
    authsec(*add[:3], "New", "--issuer", "https://10.0.0.8", "--claim", "ci:ref=ref", "--json")
    assert "not fetched yet" in authsec("issuers", "show", "new").stdout


def test_keys_are_fetched_when_asked_and_a_failure_is_shown(authsec: Authsec, peer: Any, peers: Any) -> None:
    its = peer(peers.http(JWKS))
    add = ("--issuer", "https://x.example.com", "--keys-url", its.url + "/jwks")
    added = authsec("issuers", "add", "kubernetes", "X", *add)
    assert added.exit_code == 0, added.output
    assert "The issuer's keys could not be fetched" in added.stderr
    assert "AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS" in added.stderr
    assert "authsec issuers refresh x" in added.stderr
    program = authsec("issuers", "add", "kubernetes", "Y", "--issuer", "https://y.example.com", *add[2:], "--json")
    assert (json.loads(program.stdout)["slug"], program.stderr) == ("y", "")
    refused = authsec("issuers", "refresh", "x")
    assert refused.exit_code == 1, "a script takes nothing for done that failed"
    assert refused.stdout == ""
    assert refused.stderr.startswith("✗ The keys of x could not be fetched: ")
    assert "AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS" in refused.stderr
    assert refused.stderr.endswith("\n  Its tokens are not accepted until the keys are fetched.\n")
    assert "failed at" in authsec("issuers", "show", "x").stdout
    assert its.requests == []


def test_keys_that_were_fetched_before_stay_in_use_where_others_cannot_be(
    authsec: Authsec, peer: Any, peers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_OUTBOUND_HTTP_HOSTS", "127.0.0.1")
    monkeypatch.setenv("AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS", "127.0.0.1")
    answers = [peers.http(JWKS), peers.http(JWKS), peers.http({}, status="503 Away")]
    its = peer(lambda connection, _: connection.sendall(answers.pop(0)))
    add = ("--issuer", "https://x.example.com", "--keys-url", its.url + "/jwks")
    added = authsec("issuers", "add", "kubernetes", "X", *add)
    assert (added.exit_code, "could not be fetched" in added.stderr) == (0, False), added.output
    assert authsec("issuers", "refresh", "x").stdout.startswith("keys          fresh\n")
    refused = authsec("issuers", "refresh", "x")
    assert refused.exit_code == 1
    assert refused.stdout.startswith("keys          fresh\n")
    assert "failed at" not in refused.stdout
    assert re.search(r"could not be fetched: .*503.*\.\n  The previous keys are used until 20[0-9-]+ ", refused.stderr)


LOOKING_UP = ("--token-review", "--pod-lookup", "--credentials", "production.token")


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_CREDENTIALS_DIR", str(tmp_path))


def rules(text: str) -> list[Any]:
    objects = list(yaml.safe_load_all(text))
    assert [each["kind"] for each in objects] == ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"]
    account = objects[1]["metadata"]
    assert objects[3]["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert objects[3]["roleRef"]["name"] == objects[2]["metadata"]["name"]
    its: list[Any] = objects[2]["rules"]
    return its


@pytest.mark.opens_anew
@pytest.mark.usefixtures("credentials")
def test_a_cluster_is_registered_with_look_ups_and_what_it_has_to_permit_is_shown(
    authsec: Authsec, add_cluster: Callable[..., Result], cluster: Cluster
) -> None:
    done = add_cluster(*LOOKING_UP)
    assert done.exit_code == 0, done.output
    trusted_issuer = shown(authsec, "production")
    assert (trusted_issuer["api_server"], trusted_issuer["api_ca"]) == (
        cluster.server,
        cluster.certificate.pem.decode(),
    )
    assert (trusted_issuer["credentials"], trusted_issuer["token_review"], trusted_issuer["pod_lookup"]) == (
        "production.token",
        True,
        True,
    )
    assert "The cluster does not answer yet" in done.stdout
    assert "kubectl create token authsec-lookups --namespace authsec" in done.stdout
    assert '> "$AUTHSEC_SERVER_CREDENTIALS_DIR/production.token"' in done.stdout
    again = authsec("issuers", "rbac", "production")
    assert rules(again.stdout) == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]
    assert again.stdout in done.stdout
    own = authsec("issuers", "rbac", "production", "--namespace", "security", "--account", "authsec")
    assert rules(own.stdout) == rules(again.stdout)
    assert "namespace: security" in own.stdout
    assert "kubectl create token authsec --namespace security" in own.stderr
    assert "a-bearer-token" not in done.output + json.dumps(trusted_issuer)
    page = authsec("issuers", "show", "production").stdout
    assert "token review, pod look-up" in page
    assert "not yet asked by this process" in page


@pytest.mark.usefixtures("credentials")
def test_no_more_is_permitted_than_what_is_on(
    authsec: Authsec, add_cluster: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_cluster()
    prepared = authsec("issuers", "rbac", "production")
    assert len(rules(prepared.stdout)) == 2
    assert "CREDENTIALS_DIR/production.token" in prepared.stderr
    assert rules(authsec("issuers", "rbac", "production", "--token-review").stdout)[0]["resources"] == ["tokenreviews"]
    assert "look-ups" in authsec("issuers", "show", "production").stdout
    turn_on = ("issuers", "edit", "production", "--from-kubeconfig", "--pod-lookup", "--credentials", "t")
    silent = authsec(*turn_on)
    assert silent.exit_code == 4
    assert "nothing was saved" in silent.stderr
    assert "no file t" in silent.stderr
    assert "authsec issuers rbac production | kubectl apply -f -" in silent.stderr
    assert shown(authsec, "production")["pod_lookup"] is False
    edited = authsec(*turn_on, "--anyway")
    assert edited.exit_code == 0, edited.output
    assert "kubectl create token" in edited.stdout
    assert rules(authsec("issuers", "rbac", "production").stdout) == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    ]
    monkeypatch.delenv("AUTHSEC_SERVER_CREDENTIALS_DIR")  # to turn off takes none
    off = authsec("issuers", "edit", "production", "--no-pod-lookup", "--name", "Prod")
    assert "kubectl" not in off.stdout
    assert (shown(authsec, "production")["pod_lookup"], shown(authsec, "production")["name"]) == (False, "Prod")


def test_what_look_ups_lack_is_named(
    authsec: Authsec, add_cluster: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "This command's environment names no folder of credentials" in add_cluster(*LOOKING_UP).stderr
    monkeypatch.setenv("AUTHSEC_SERVER_CREDENTIALS_DIR", str(tmp_path))
    assert "the name of a token file" in add_cluster("--pod-lookup").stderr
    assert "and no folder" in add_cluster("--pod-lookup", "--credentials", "../etc/passwd").stderr
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    alarm = add_cluster(*LOOKING_UP, "--api-ca-file", str(tmp_path / "key.pem"))
    assert "It was not sent" in alarm.stderr
    assert add_cluster().exit_code == 0
    assert "No change was given." in authsec("issuers", "edit", "production").stderr
    selectors = ("--selector", "k8s:ns=production", "--selector", "k8s:sa=support")
    assert authsec("agents", "create", "Support", "--platform", "kubernetes", *selectors).exit_code == 0
    assert "1 proof of 1 agent" in authsec("issuers", "show", "production").stdout
    said = authsec("issuers", "edit", "production", "--token-review").stderr
    assert (
        "1 proof of 1 agent depends on production. If this change reduces trust, the tokens that depend on it are"
        in said
    )
    assert "rests on" not in authsec("issuers", "edit", "production", "--name", "Prod").stderr  # that stops nobody
    bare = authsec("issuers", "edit", "production", "--pod-lookup").stderr
    for missing in ("--api-server", "--credentials", "AUTHSEC_SERVER_CREDENTIALS_DIR"):
        assert missing in bare


def test_keys_are_given_anew(authsec: Authsec, tmp_path: Path) -> None:
    file = written(tmp_path, "jwks.json", JWKS)
    authsec("issuers", "add", "kubernetes", "X", "--issuer", IN_CLUSTER, "--jwks", file)
    successor = PrivateKey.generate_ec().public
    renewed = written(tmp_path, "new.json", {"keys": [{**successor.to_jwk(), "kid": "two", "use": "sig"}]})
    done = authsec("issuers", "edit", "x", "--jwks", renewed)
    assert done.exit_code == 0, done.output
    assert [key["thumbprint"] for key in shown(authsec, "x")["keys"]["keys"]] == [successor.thumbprint()]
    assert authsec("issuers", "edit", "x", "--keys-url", "https://keys.example.com/jwks").exit_code == 0
    assert shown(authsec, "x")["keys_from"] == "url"
    page = authsec("issuers", "show", "x").stdout
    assert "depend on it" in page
    assert "nobody yet" in page
