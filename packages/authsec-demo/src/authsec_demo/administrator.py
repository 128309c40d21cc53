"""A client of the admin API for the demo. Each method sends one request with an admin key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx2

from authsec_demo.stage import StepFailed

_API: Final = "/authsec/api/v1"


class Administrator:
    """A client of the admin API, with an admin key. Each method raises `StepFailed` for an error response."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def onboard_agent(self, name: str, public_key: str) -> Mapping[str, Any]:
        """Register an AI agent that authenticates with a key pair. `public_key` is PEM."""
        return self._post("/clients", {"name": name, "platform": "key", "public_key": public_key})

    def onboard_workload(self, name: str, selectors: Mapping[str, str], trusted_issuer: str) -> Mapping[str, Any]:
        """Register an AI agent that runs on Kubernetes and has these selectors.

        `trusted_issuer` is the slug of the trusted issuer.
        """
        listed = [{"key": key, "value": value} for key, value in selectors.items()]
        return self._post(
            "/clients", {"name": name, "platform": "kubernetes", "selectors": listed, "trusted_issuer": trusted_issuer}
        )

    def make_enrolment_code(self, client: str) -> Mapping[str, Any]:
        """Create a one-time code for enrolling a laptop.

        An enrolled laptop can authenticate as the agent for some hours.
        """
        return self._post(f"/clients/{client}/enrolments", {})

    def register_api(self, name: str, identifier: str, actions: Mapping[str, str]) -> Mapping[str, Any]:
        """Register an API. `identifier` is the audience of its tokens; `actions` maps each action to a description."""
        described = [{"action": action, "description": text} for action, text in actions.items()]
        return self._post("/apis", {"name": name, "identifier": identifier, "actions": described})

    def create_role(self, name: str, actions: list[str]) -> Mapping[str, Any]:
        """Create a role, which is a named set of actions."""
        return self._post("/roles", {"name": name, "actions": actions})

    def delegate(
        self, *, role: str, client: str, actions: list[str], audience: str, max_duration: int
    ) -> Mapping[str, Any]:
        """Create a trust delegation for an AutoGen agent.

        `max_duration` is the longest lifetime of a token, in seconds.
        """
        return self._post(
            "/delegations",
            {
                "role": role,
                "client": client,
                "target_type": "AutoGen AI agent",
                "actions": actions,
                "audiences": [audience],
                "max_duration": max_duration,
            },
        )

    def invite(self, email: str, name: str) -> Mapping[str, Any]:
        """Invite a person as an administrator with the role `admin`."""
        return self._post("/administrators", {"email": email, "name": name, "role": "admin"})

    def revoke(self, delegation: str) -> Mapping[str, Any]:
        """Revoke a trust delegation. The authority cannot undo a revocation."""
        return self._post(f"/delegations/{delegation}/revoke", {})

    def events(self) -> list[Mapping[str, Any]]:
        """Return the newest 100 events of the audit log, oldest first."""
        return list(reversed(_json(self._http.get(f"{_API}/events", params={"limit": 100}))["items"]))

    def _post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return _json(self._http.post(f"{_API}{path}", json=body))


@contextmanager
def administrator(url: str, admin_key: str) -> Iterator[Administrator]:
    """Open an HTTP client for the authority at `url`, authenticated with the admin key."""
    headers = {"Authorization": f"Bearer {admin_key}"}
    with httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=10) as http:
        yield Administrator(http)


def _json(answer: httpx2.Response) -> dict[str, Any]:
    if not answer.is_success:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise StepFailed(expected=f"{asked} to succeed", came=f"{answer.status_code} {answer.text}")
    body: dict[str, Any] = answer.json()
    return body
