"""The two requests about tokens: `TokenRequest` issues a token, `TokenReview` verifies one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authsec_demo.cluster.authentication import Authenticator, NotAuthenticated
from authsec_demo.cluster.issuer import Issuer
from authsec_demo.cluster.objects import Json, Objects
from authsec_demo.cluster.resources import ACCOUNTS, AUTHENTICATION, NODES, PODS, TOKEN_REVIEWS
from authsec_demo.cluster.statuses import bad_request, conflict, invalid

_LEAST_SECONDS: Final = 600
_USUAL_SECONDS: Final = 3600
_NO_TIME: Final = {"creationTimestamp": None}


def request_token(objects: Objects, issuer: Issuer, namespace: str, name: str, given: Mapping[str, Any]) -> Json:
    """Answer a `TokenRequest`: issue a token of the service account `name`.

    `given` is the request, with the audiences and the lifetime of the token. Raises `Refusal`.
    """
    spec = given.get("spec") or {}
    seconds = spec.get("expirationSeconds") or _USUAL_SECONDS
    if seconds < _LEAST_SECONDS:
        why = "may not specify a duration less than 10 minutes"
        raise invalid("TokenRequest", "", AUTHENTICATION, "spec.expirationSeconds", seconds, why)
    account = objects.get(ACCOUNTS, namespace, name)
    reference = spec.get("boundObjectRef")
    pod = _bound_pod(objects, account, reference) if reference else None
    node = objects.find(NODES, "", pod["spec"].get("nodeName", "")) if pod else None
    audiences = spec.get("audiences") or [issuer.url]
    token = issuer.token(account, pod=pod, node=node, audiences=audiences, seconds=seconds)
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{AUTHENTICATION}/v1",
        "metadata": {"name": name, "namespace": namespace, **_NO_TIME},
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
        "status": {"token": token, "expirationTimestamp": objects.timestamp(seconds)},
    }


def review_token(authenticator: Authenticator, given: Mapping[str, Any]) -> Json:
    """Answer a `TokenReview`: name the user of the token, or say why the token is not valid.

    The token must be valid for one of the requested audiences. Like a real API server, the function omits false
    and empty members, except `user`. Raises `Refusal` for a request without a token.
    """
    spec = given.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    try:
        found = authenticator.authenticate(spec["token"], spec.get("audiences") or ())
    except NotAuthenticated as error:
        status: Json = {"user": {}, "error": str(error)}
    else:
        status = {"authenticated": True, "user": found.user.as_json, "audiences": found.audiences}
    kind = {"kind": TOKEN_REVIEWS.kind, "apiVersion": TOKEN_REVIEWS.api_version}
    return {**kind, "metadata": _NO_TIME, "spec": dict(spec), "status": status}


def _bound_pod(objects: Objects, account: Json, reference: Mapping[str, Any]) -> Json:
    kind, version = reference.get("kind"), reference.get("apiVersion")
    if (kind, version) != ("Pod", "v1"):
        raise bad_request(f"cannot bind token to object of type {version}, Kind={kind}")
    pod = objects.get(PODS, account["metadata"]["namespace"], reference.get("name", ""))
    named, uid, pods_uid = account["metadata"]["name"], reference.get("uid"), pod["metadata"]["uid"]
    if pod["spec"]["serviceAccountName"] != named:
        raise bad_request(
            f'cannot bind token for serviceaccount "{named}" to pod running with different serviceaccount name.'
        )
    if uid and uid != pods_uid:
        why = (
            f"the UID in the bound object reference ({uid}) does not match the UID in record. The object might have "
            "been deleted and then recreated"
        )
        raise conflict("Pod", pod["metadata"]["name"], "", why)
    return pod
