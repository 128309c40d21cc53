"""Disable, enable or revoke a trust delegation.

Each page shows the impact and asks for confirmation before the change.
"""

from __future__ import annotations

from functools import partial

from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, service
from authsec_server.delegations.model import title


def _look(tx: Tx, visit: PageRequest) -> Question:
    reference, terms = visit.named("delegation"), visit.console.terms
    resolved = service.get(tx, visit.act, reference, terms)
    home = f"/console/delegations/{resolved.delegation.id}"
    return Question(
        trail=[("Trust Delegation", "/console/delegations"), (title(resolved.role.name, resolved.client.name), home)],
        ids={"delegation": resolved.delegation.id},
        shown={
            "resolved": resolved,
            "what": impact.of_delegation(tx, visit.act, reference, terms),
            "terms": terms,
        },
    )


_HOME = "/console/delegations/{delegation}"
_confirmation = partial(Confirmation, template="delegations/ending.html", look=_look)
CONFIRMATIONS = (
    _confirmation(
        path="/delegations/{delegation}/disable",
        heading="Disable this trust delegation?",
        button="Disable",
        change=once(lambda tx, act, visit: service.disable(tx, act, visit.named("delegation"), visit.console.terms)),
        after=redirect_to(_HOME, done="delegation_disabled"),
    ),
    _confirmation(
        path="/delegations/{delegation}/enable",
        heading="Enable this trust delegation?",
        button="Enable",
        danger=False,
        change=once(lambda tx, act, visit: service.enable(tx, act, visit.named("delegation"), visit.console.terms)),
        after=redirect_to(_HOME, done="delegation_enabled"),
    ),
    _confirmation(
        path="/delegations/{delegation}/revoke",
        heading="Revoke this trust delegation permanently?",
        button="Revoke permanently",
        change=once(lambda tx, act, visit: service.revoke(tx, act, visit.named("delegation"), visit.console.terms)),
        after=redirect_to(_HOME, done="delegation_revoked"),
    ),
)
