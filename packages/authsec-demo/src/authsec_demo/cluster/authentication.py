"""Authenticate bearer tokens of the administrator and of service accounts.

A service account token is valid only while its service account exists. If the token is bound to a pod, the
pod must also exist.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from authsec_demo.cluster.issuer import Issuer
from authsec_demo.cluster.objects import Objects
from authsec_demo.cluster.resources import ACCOUNTS, PODS
from authsec_demo.cluster.users import ADMIN, AUTHENTICATED, User

_LEEWAY: Final = 60  # seconds: clock difference, and grace time of deleted pods
_EXTRA: Final = "authentication.kubernetes.io/"
_INVALIDATED: Final = "service account token has been invalidated"


class NotAuthenticated(Exception):
    """The token is not valid, so there is no user.

    The exception has the message that a real API server writes to its log and to `TokenReview.status.error`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """The user of a valid token, and the requested audiences that are in the token."""

    user: User
    audiences: list[str]


class Authenticator:
    """An authenticator of bearer tokens.

    A real API server caches a successful result for ten seconds. This class verifies the token in every call.
    """

    def __init__(self, objects: Objects, issuer: Issuer, admin_token: str) -> None:
        self._objects = objects
        self._issuer = issuer
        self._admin_token = admin_token.encode()

    def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Authenticated:
        """Return the user of the token, and the members of `audiences` that are in the token. Raises
        `NotAuthenticated`.

        Without `audiences`, the token must contain the audience of the API server.
        """
        wanted = list(audiences) or [self._issuer.url]
        if hmac.compare_digest(token.encode(), self._admin_token) and self._issuer.url in wanted:
            return Authenticated(user=ADMIN, audiences=[self._issuer.url])
        jws = self._issuer.recognised(token)
        if jws is None:
            raise NotAuthenticated("invalid bearer token")
        # With a valid signature, `Issuer.token` wrote the claims, so no claim is missing.
        complaint = self._issuer.complaint(jws) or self._complaint(jws.claims, wanted)
        if complaint:
            raise NotAuthenticated(f"[invalid bearer token, {complaint}]")
        return Authenticated(user=_user(jws.claims), audiences=[each for each in jws.claims["aud"] if each in wanted])

    def _complaint(self, claims: Mapping[str, Any], wanted: Sequence[str]) -> str:
        if not set(claims["aud"]) & set(wanted):
            return _other_audience(claims["aud"], wanted)
        return self._untimely(claims) or self._gone(claims["kubernetes.io"])

    def _untimely(self, claims: Mapping[str, Any]) -> str:
        now = self._objects.now()
        if now > claims["exp"] + _LEEWAY:
            return "service account token has expired"
        return "service account token is not valid yet" if now < claims["nbf"] - _LEEWAY else ""

    def _gone(self, bound: Mapping[str, Any]) -> str:
        """Return a message if the token's service account or pod was deleted or replaced; else an empty text."""
        namespace, named = bound["namespace"], bound["serviceaccount"]
        account = self._objects.find(ACCOUNTS, namespace, named["name"])
        if account is None:
            return f'serviceaccounts "{named["name"]}" not found'
        if account["metadata"]["uid"] != named["uid"]:
            return f"service account UID ({account['metadata']['uid']}) does not match claim ({named['uid']})"
        return self._pod_gone(namespace, bound["pod"]) if "pod" in bound else ""

    def _pod_gone(self, namespace: str, named: Mapping[str, str]) -> str:
        pod = self._objects.find(PODS, namespace, named["name"])
        if pod is None or self._deleted_long_ago(pod["metadata"]):
            return _INVALIDATED
        uid = pod["metadata"]["uid"]
        if uid != named["uid"]:
            return f"pod UID ({uid}) does not match service account pod ref claim ({named['uid']})"
        return ""

    def _deleted_long_ago(self, metadata: Mapping[str, Any]) -> bool:
        """Whether the pod's `deletionTimestamp` is more than 60 seconds in the past.

        The tokens of a terminating pod stay valid until the 60 seconds have passed.
        """
        until = metadata.get("deletionTimestamp")
        return until is not None and datetime.fromisoformat(until).timestamp() < self._objects.now() - _LEEWAY


def _user(claims: Mapping[str, Any]) -> User:
    bound = claims["kubernetes.io"]
    extra = {f"{_EXTRA}credential-id": [f"JTI={claims['jti']}"]}
    for thing in ("node", "pod"):
        if thing in bound:
            extra |= {f"{_EXTRA}{thing}-{member}": [bound[thing][member]] for member in ("name", "uid")}
    return User(
        name=claims["sub"],
        uid=bound["serviceaccount"]["uid"],
        groups=("system:serviceaccounts", f"system:serviceaccounts:{bound['namespace']}", AUTHENTICATED),
        extra=extra,
    )


def _other_audience(has: Sequence[str], wanted: Sequence[str]) -> str:
    quoted = [" ".join(f'"{each}"' for each in listed) for listed in (has, wanted)]
    return f"token audiences [{quoted[0]}] is invalid for the target audiences [{quoted[1]}]"
