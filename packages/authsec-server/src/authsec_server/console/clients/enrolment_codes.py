"""Enrolment codes on the Connect tab: create one, show it once, revoke it.

To run a client on a laptop, a person creates an enrolment code. On the laptop, the person then runs `authsec enrol`
with the code. The command registers a key of the laptop as a proof of the client. A code that nobody has used can be
revoked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from authsec_server.clients import enrolment_service
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment, NewEnrolment
from authsec_server.clients.model import Client, ProofKind
from authsec_server.console.client_status import ClientStatus, status_of
from authsec_server.console.clients.connect import (
    HOURS,
    PROOF_VARIABLES,
    preferred_shell,
)
from authsec_server.console.clients.detail import find_client, home
from authsec_server.console.clients.shells import for_bash, for_powershell
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationState, GrantGap, ResolvedDelegation
from authsec_server.failures import Conflict, Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentLines:
    """The commands to run on the laptop, with the enrolment code. They are shown once and not stored."""

    base_url: str
    made: NewEnrolment
    program: str

    @property
    def bash(self) -> str:
        """Return the commands for bash and similar shells."""
        return "\n".join([*for_bash(self._environment, PROOF_VARIABLES), self._enrol])

    @property
    def powershell(self) -> str:
        """Return the commands for PowerShell."""
        return "\n".join([*for_powershell(self._environment, PROOF_VARIABLES), self._enrol])

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"AUTHSEC_BASE_URL": self.base_url, "AUTHSEC_AGENT_CLIENT_ID": self.made.client.id}

    @property
    def _enrol(self) -> str:
        return f"{self.program} enrol {self.made.code}"


async def enrolment_form(visit: PageRequest, problem: Invalid | Conflict | None = None) -> Response:
    """Show the form that asks how long the laptop's key will be valid."""
    client, status, codes = await visit.read(lambda tx: _client_with_codes(tx, visit))
    return visit.render(
        "clients/enrol.html",
        title=f"Run {client.name} on a laptop",
        problem=problem,
        client=client,
        client_status=status,
        codes=codes,
        hours=visit.form.text("hours") or str(DEFAULT_HOURS),
        choices=HOURS,
    )


async def make_code(visit: PageRequest) -> Response:
    """Create an enrolment code and show it once."""
    asked = visit.named("client")
    try:
        hours = visit.form.number("hours", DEFAULT_HOURS)
        made = await visit.change(lambda tx, act: enrolment_service.make(tx, act, asked, hours=hours))
    except (Invalid, Conflict) as problem:
        return await enrolment_form(visit, problem)
    status, delegated = await visit.read(
        lambda tx: (
            status_of(tx, made.client, visit.act.now),
            delegations.of_client(tx, visit.act, made.client.id, visit.console.terms),
        )
    )
    live = [each for each in delegated if each.state is DelegationState.LIVE]
    lines = EnrolmentLines(base_url=visit.console.settings.issuer, made=made, program=visit.program)
    return visit.render(
        "clients/enrolment_code.html",
        title=f"Run {made.client.name} on a laptop",
        client=made.client,
        client_status=status,
        enrolment=made.enrolment,
        lines=lines,
        granting=[each for each in live if _grants_laptop(each, visit.act.now)],
        live=live,
        shell=preferred_shell(visit),
    )


def _grants_laptop(resolved: ResolvedDelegation, now: datetime) -> bool:
    """Whether the delegation grants something to a laptop that enrols with the new code."""
    is_dormant = resolved.gap(now) is GrantGap.DORMANT
    return resolved.delegation.accepts(ProofKind.ENROLLED_KEY) and not is_dormant


async def take_back(visit: PageRequest) -> Response:
    """Revoke the enrolment code."""
    asked, enrolment = visit.named("client"), visit.named("enrolment")
    client = await visit.change(lambda tx, act: enrolment_service.take_back(tx, act, asked, enrolment))
    return visit.redirect(home(client), done="code_taken_back")


def _client_with_codes(tx: Tx, visit: PageRequest) -> tuple[Client, ClientStatus, list[Enrolment]]:
    client = find_client(tx, visit)
    return client, status_of(tx, client, visit.act.now), enrolment_service.open_of(tx, visit.act, client.id)
