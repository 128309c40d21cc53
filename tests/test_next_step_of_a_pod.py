"""The walk-through's own agent, from its page to its token: the page's commands, run at a cluster, and its buttons."""

from __future__ import annotations

import re
import shlex
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from authsec import AuthSecClient, AuthSecConfig
from authsec.credentials import ProjectedToken
from authsec.verifier import TokenVerifier
from authsec_demo.cluster.running import Cluster, running_cluster
from pages import Page, get

FOUR = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}
MARY = {"name": "Mary", "email": "mary@example.com", "password": "a lantern in the harbour"}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        running.create_account("production", FOUR["k8s:sa"])
        yield running


class Admin:
    """An administrator in a browser, at the page of the agent that is not proved yet."""

    def __init__(self, its: Any, door: httpx2.Client, cluster: Cluster, folder: Path) -> None:
        self.its, self.door, self.cluster, self.folder = its, door, cluster, folder
        code = its.cli("admin", "setup-url").rpartition("code=")[2].split()[0]
        answer = self.door.post(
            "/console/set-up", data=MARY | {"code": code, "again": MARY["password"]}, headers={"Origin": its.url}
        )
        assert answer.status_code == 303, answer.text
        onboard = get(self.door, "/console/clients/onboard").form("/console/clients/onboard")
        rows = {"kubernetes-key": [*FOUR], "kubernetes-parameter": [""] * 4, "kubernetes-value": [*FOUR.values()]}
        self.page = onboard.send(name="Customer Support", platform="kubernetes", **rows).follow()
        self.home = self.page.path
        self.client_id = self.home.rpartition("/")[2]

    def command(self, beginning: str) -> str:
        """The block of code on the page that begins so."""
        blocks = re.findall(r'<pre tabindex="0"><code>(.*?)</code>', self.page.html, re.DOTALL)
        (found,) = [unescape(block) for block in blocks if unescape(block).startswith(beginning)]
        return found

    def run(self, line: str) -> str:
        """Run a line of the page; what it prints."""
        words = shlex.split(line)
        assert words[:3] == ["uv", "run", "authsec"]
        printed: str = self.its.cli(*words[3:])
        return printed

    def permits(self, printed: str) -> None:
        """What `kubectl apply` does with the documents."""
        for document in yaml.safe_load_all(printed):
            self.cluster.apply(document)

    def writes_token(self, command: str) -> None:
        """What the line with `kubectl create token` does."""
        account, namespace, file = re.findall(
            r'create token (\S+) --namespace (\S+) .*> "\$AUTHSEC_SERVER_CREDENTIALS_DIR/(\S+)"\)', command
        )[0]
        (self.folder / file).write_text(self.cluster.token(namespace, account))

    def does_what_is_left(self, printed: str) -> None:
        """The two steps that `authsec issuers add` prints for a cluster with look-ups."""
        documents, _, after = printed.partition("Then write a token")
        self.permits("apiVersion" + documents.partition("apiVersion")[2])
        self.writes_token(after)

    def fills_in(self, line: str) -> str:
        """The line with what `kubectl` shows, without a kubeconfig that AuthSec reads."""
        ca, keys = self.folder / "ca.pem", self.folder / "jwks.json"
        ca.write_bytes(self.cluster.authority)
        trust = ssl.create_default_context(cadata=self.cluster.authority.decode())
        token = {"Authorization": f"Bearer {self.cluster.token('production', FOUR['k8s:sa'])}"}
        with httpx2.Client(base_url=self.cluster.url, verify=trust, trust_env=False, headers=token) as client:
            keys.write_text(client.get("/openid/v1/jwks").text)
        shown = {"ISSUER": f"{self.cluster.issuer} --jwks {keys}", "SERVER": self.cluster.url, "ca.pem": str(ca)}
        return " ".join(shown.get(word, word) for word in line.split(" "))

    def checks_again(self) -> Page:
        self.page = self.page.form(self.home).send()
        return self.page

    def presses(self, action: str) -> Page:
        self.page = self.page.form(action).send().follow()
        return self.page

    def delegates(self) -> None:
        role = self.its.role("Support", "customers:read")
        self.its.delegate(role, type("Agent", (), {"client_id": self.client_id}), "customers:read")

    def pod_gets_token(self) -> set[str]:
        """A pod with the manifest's volume asks; the selectors that its token was proved by."""
        images = {"agent": "registry.example.com/agent:1"}
        pod = self.cluster.run_pod(
            "production", "agent", account=FOUR["k8s:sa"], labels={"app": "customer-support"}, containers=images
        )
        file = self.folder / "of-the-pod"
        file.write_text(self.cluster.token("production", FOUR["k8s:sa"], pod=pod, audiences=[self.its.url]))
        config = AuthSecConfig(base_url=self.its.url, client_id=self.client_id)
        token = AuthSecClient(config, credential=ProjectedToken(path=file)).get_delegation_token()
        return set(TokenVerifier(self.its.url, "authsec-api").verify(token).attestation.selectors)

    @property
    def bind(self) -> str:
        (form,) = [each.action for each in self.page.forms if each.action.endswith("/bind")]
        return form


@pytest.fixture
def admin_at(cluster: Cluster, serving: Any, tmp_path: Path) -> Iterator[Callable[..., Admin]]:
    """Start an authority on the machine that has the cluster's kubeconfig, with or without a folder of credentials."""
    settings = {
        "AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS": "127.0.0.1",
        "KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
    }
    with ExitStack() as stack:
        serve = stack.enter_context(serving(tmp_path, ""))

        def admin(folder: str = "") -> Admin:
            if folder:
                (tmp_path / folder).mkdir()
                settings["AUTHSEC_SERVER_CREDENTIALS_DIR"] = str(tmp_path / folder)
            its = serve(**settings)
            door = stack.enter_context(httpx2.Client(base_url=its.url, trust_env=False, timeout=30))
            return Admin(its, door, cluster, tmp_path / folder)

        yield admin


def test_one_command_connects_the_cluster_and_one_button_uses_it(admin_at: Callable[..., Admin]) -> None:
    admin = admin_at("credentials")
    assert "No trusted issuer can prove these selectors yet." in admin.page.text
    admin.does_what_is_left(admin.run(admin.command("uv run authsec issuers add kubernetes")))
    assert admin.checks_again().text.count("Production can prove these selectors.") == 1
    assert "The proof is bound to the trusted issuer." in admin.presses(admin.bind).text
    assert "Next: create a trust delegation" in admin.page.text
    admin.delegates()
    assert "Next: get the first token" in get(admin.door, admin.home).text
    assert admin.pod_gets_token() == set(FOUR)
    done = get(admin.door, admin.home)
    assert 'id="next"' not in done.html
    assert "Token done: Last issued" in done.text


def test_without_a_folder_of_credentials_the_page_leaves_out_what_needs_a_look_up(
    admin_at: Callable[..., Admin],
) -> None:
    admin = admin_at()
    assert "this page then offers a proof without these selectors." in admin.page.text
    admin.run(admin.command("uv run authsec issuers add kubernetes"))
    page = admin.checks_again()
    assert "Production can't prove k8s:pod-label:app and k8s:container-name without pod look-up." in page.text
    form = get(admin.door, page.links["Add a proof with k8s:ns and k8s:sa"]).form(f"{admin.home}/proofs/add")
    assert form.values("kubernetes-value")[:2] == ["production", "customer-support-sa"]
    admin.page = form.send(platform="kubernetes").follow()
    assert "Next: create a trust delegation" in admin.page.text
    admin.delegates()
    assert admin.pod_gets_token() == {"k8s:ns", "k8s:sa"}


@pytest.mark.soak
def test_a_cluster_without_look_ups_gets_them_by_the_three_lines_of_the_page(admin_at: Callable[..., Admin]) -> None:
    admin = admin_at("credentials")
    admin.its.cli("issuers", "add", "kubernetes", "Production", "--from-kubeconfig")
    admin.checks_again()
    permit, write, turn_on = admin.command("uv run authsec issuers rbac").splitlines()
    admin.permits(admin.run(permit.removesuffix(" | kubectl apply -f -")))
    admin.writes_token(write)
    admin.run(turn_on)
    admin.checks_again()
    admin.presses(admin.bind)
    admin.delegates()
    assert admin.pod_gets_token() == set(FOUR)


@pytest.mark.soak  # the first test connects by the page's command, the one before without its kubeconfig
def test_a_kubeconfig_with_a_sign_in_program_is_not_needed(admin_at: Callable[..., Admin]) -> None:
    admin = admin_at("credentials")
    add = admin.command("kubectl get --raw").splitlines()[-1]
    admin.does_what_is_left(admin.run(admin.fills_in(add)))
    admin.checks_again()
    admin.presses(admin.bind)
    admin.delegates()
    assert admin.pod_gets_token() == set(FOUR)


@pytest.mark.soak  # the test after next follows the same lines with a kubeconfig
def test_look_ups_are_turned_on_without_a_kubeconfig(admin_at: Callable[..., Admin]) -> None:
    admin = admin_at("credentials")
    admin.its.cli("issuers", "add", "kubernetes", "Production", "--from-kubeconfig")
    admin.checks_again()
    permit, write, _ = admin.command("uv run authsec issuers rbac").splitlines()
    admin.permits(admin.run(permit.removesuffix(" | kubectl apply -f -")))
    admin.writes_token(write)
    admin.run(admin.fills_in(admin.command("kubectl config view").splitlines()[-1]))
    admin.checks_again()
    admin.presses(admin.bind)
    admin.delegates()
    assert admin.pod_gets_token() == set(FOUR)
