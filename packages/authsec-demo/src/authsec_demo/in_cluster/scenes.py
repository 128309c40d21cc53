"""The token requests of `authsec demo --kubernetes`.

The authority issues tokens to the pod and to an enrolled laptop. The authority refuses another pod, a laptop
that is not enrolled, and the token of a deleted pod.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
from authsec import AuthSecClient, AuthSecError, KeyFile, TokenFile, TokenVerifier

from authsec_demo.commands import run
from authsec_demo.in_cluster.place import Place
from authsec_demo.in_cluster.registering import ACCOUNT, NAMESPACE, PROVED_BY, SELECTORS
from authsec_demo.in_cluster.workload import Workload, another_account, running_one
from authsec_demo.onboarding import READ, sdk_client
from authsec_demo.servers import API_IDENTIFIER, Servers
from authsec_demo.stage import Stage, StepFailed, check

_OTHER_ACCOUNT: Final = "reporting-sa"
_MACHINE: Final = "developer-laptop"


def says_how(stage: Stage, servers: Servers, authsec: AuthSecClient) -> None:
    """Print the `attestation` claim of the agent's token: how the agent authenticated."""
    with stage.step("What the API learns", "Each token says how its agent authenticated."):
        said = _attestation(servers, authsec)
        wanted = {"method": "kubernetes", "validation": "token_review", "selectors": sorted(SELECTORS)}
        found = {name: said.get(name) for name in wanted} | {"selectors": sorted(said.get("selectors", ()))}
        check(found == wanted, expected=str(wanted), came=str(found))
        stage.fact("method", "kubernetes: the cluster's key signed the pod's token")
        stage.fact("validation", "token_review: the cluster said that the token is valid")
        stage.fact("selectors", ", ".join(PROVED_BY))


def other_account(stage: Stage, servers: Servers, place: Place, agent: Mapping[str, Any], workload: Workload) -> None:
    """Check that the authority refuses a pod of another service account.

    The pod has the same labels, the same container and the same client_id as the agent.
    """
    why = "The same labels, the same container, the same client_id, but another service account."
    with stage.step("Another pod asks", why):
        other = another_account(place, workload, _OTHER_ACCOUNT)
        stage.said("pod", f"{NAMESPACE}/{other.name}, of {_OTHER_ACCOUNT}")
        refusal = _refusal(other.client(servers.authority_url, agent["client_id"]))
        _check(refusal, 403, "selectors_mismatch")
        check(ACCOUNT not in str(refusal), expected=f"a refusal that does not name {ACCOUNT}", came=str(refusal))
        stage.said("it hears", _in_brief(str(refusal)))
        stage.fact("refused", "403 selectors_mismatch, without the registered values")


def laptop(stage: Stage, servers: Servers, place: Place, agent: Mapping[str, Any]) -> None:
    """Check that the authority refuses the same program on the developer's laptop, which has no proof of identity."""
    with stage.step("The developer's laptop asks", "The same program, outside of the cluster."):
        stage.said("developer", "authsec doctor")
        done = run("doctor", "--json", variables=_on_the_laptop(servers, place, agent))
        check(done.status == 1, expected="a refusal", came=done.out + done.err)
        found = json.loads(done.out)
        came = next(f"{each['step']}: {each['reason']}" for each in found["steps"] if each["grade"] == "failed")
        check(came == "token: attestation_required", expected="token: attestation_required", came=came)
        stage.said("doctor", found["next"])
        stage.fact("refused", "401 attestation_required")


def enrol(stage: Stage, servers: Servers, place: Place, agent: Mapping[str, Any]) -> KeyFile:
    """Enrol the laptop with a one-time code. Return the laptop's key file.

    The laptop can authenticate as the agent with this key for some hours.
    """
    why = "The laptop creates a key, which is valid for some hours. The agent stays attested."
    with stage.step("The laptop is enrolled", why):
        stage.said("administrator", f"authsec agents enrolment {agent['slug']}")
        made = servers.admin.make_enrolment_code(agent["slug"])
        stage.fact("code", f"works once, within 15 minutes; the key is then valid for {made['hours']} hours")
        stage.said("developer", "authsec enrol CODE && authsec smoke")
        variables = _on_the_laptop(servers, place, agent)
        for words in (("enrol", made["code"], "--machine", _MACHINE), ("smoke",)):
            done = run(*words, variables=variables)
            check(done.status == 0, expected=f"authsec {words[0]} to succeed", came=done.out + done.err)
        key = KeyFile(place.laptop / "authsec" / "keys" / f"{agent['client_id']}.pem")
        authsec = sdk_client(servers.authority_url, agent["client_id"], key)
        said = _attestation(servers, authsec)
        check(said.get("enrolled") is True, expected="a token that says enrolled", came=str(said))
        status = _read_customer(servers, authsec)
        check(status == 200, expected="the API to answer 200", came=str(status))
        stage.fact("allowed", f"its token says {said['method']}, enrolled; the API accepts it")
    return key


def pod_deleted(stage: Stage, servers: Servers, place: Place, agent: Mapping[str, Any], workload: Workload) -> None:
    """Delete the pod, and check that the authority then refuses a copy of the pod's unexpired token."""
    why = "Somebody has copied the pod's token. The copy does not expire for most of an hour."
    with stage.step("The pod is deleted", why):
        copied = Path(shutil.copy(workload.token_file, place.laptop / "copied-token"))
        authsec = sdk_client(servers.authority_url, agent["client_id"], TokenFile(copied))
        authsec.get_token(scope=READ)
        stage.fact("allowed", "the copy works as long as the pod runs: anybody who has it can act as the pod")
        stage.said("administrator", f"kubectl delete pod {workload.name}")
        place.cluster.delete_pod(NAMESPACE, workload.name)
        refusal = _refusal(authsec)
        _check(refusal, 401, "attestation_invalid")
        stage.said("its holder", _in_brief(str(refusal)))
        stage.fact("refused", "401 attestation_invalid: the cluster was asked, and said no")
        successor = running_one(place)
        successor.client(servers.authority_url, agent["client_id"]).get_token(scope=READ)
        stage.fact("allowed", f"the replacement pod, {successor.name}")


def _attestation(servers: Servers, authsec: AuthSecClient) -> Mapping[str, Any]:
    """Verify the agent's token as an API does, and return the `attestation` claim."""
    verifier = TokenVerifier(issuer=servers.authority_url, audience=API_IDENTIFIER)
    claims = verifier.verify(authsec.get_token(scope=READ).value).claims
    attestation: Mapping[str, Any] = claims["attestation"]
    return attestation


def _read_customer(servers: Servers, authsec: AuthSecClient) -> int:
    headers = {"Authorization": f"Bearer {authsec.get_token(scope=READ).value}"}
    return httpx2.get(f"{servers.api_url}/customers/41", headers=headers, trust_env=False, timeout=10).status_code


def _refusal(authsec: AuthSecClient) -> AuthSecError:
    try:
        authsec.get_token(scope=READ, force_refresh=True)
    except AuthSecError as error:
        return error
    raise StepFailed(expected="the request to be refused", came="a token")


def _check(refusal: AuthSecError, status: int, reason: str) -> None:
    check(
        (refusal.status, refusal.reason) == (status, reason),
        expected=f"{status} {reason}",
        came=f"{refusal.status} {refusal.reason}: {refusal}",
    )


def _on_the_laptop(servers: Servers, place: Place, agent: Mapping[str, Any]) -> dict[str, str]:
    return {
        "AUTHSEC_BASE_URL": servers.authority_url,
        "AUTHSEC_AGENT_CLIENT_ID": agent["client_id"],
        "XDG_CONFIG_HOME": str(place.laptop),
    }


def _in_brief(problem: str) -> str:
    """Return the authority's part of the error message, without the SDK's advice for operators."""
    return problem.partition(" (request ")[0]
