"""The user that sends a request, as a kube-apiserver describes users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

AUTHENTICATED: Final = "system:authenticated"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user name, the groups of the user, and further data from the authenticator."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, Any]:
        """Return the Kubernetes `UserInfo` object, without empty members."""
        told = {"username": self.name, "uid": self.uid, "groups": list(self.groups), "extra": dict(self.extra)}
        return {name: value for name, value in told.items() if value}


ANONYMOUS: Final = User(name="system:anonymous", groups=("system:unauthenticated",))
ADMIN: Final = User(name="kubernetes-admin", groups=("system:masters", AUTHENTICATED))


def service_account_name(namespace: str, name: str) -> str:
    """Return the user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"
