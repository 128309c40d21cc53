"""The pages "MCP Servers / AI Agents": the list of clients, the onboarding dialog and the pages of one client.

The templates are in `templates/clients/`. `frame.html` has the name and the tabs of one client.
`parts.html` has what several pages show: the state, the alert "Cannot authenticate yet", inputs and facts.

| module | owns |
|---|---|
| `listing`, `bulk` | the list: filters, orders, page size; disable many (`list.html`, `disable_many.html`) |
| `onboarding` | the dialog, and the feedback while a person types selectors (`onboard.html`, `outlook.html`) |
| `forms` | convert the typed values to a request to the service; the feedback on each selector row |
| `detail`, `near_misses` | the Overview tab; how a refused workload differed from each proof (`overview.html`) |
| `connect`, `connect_snippets` | the Connect tab; its commands and program code (`connect.html`) |
| `enrolment` | enrolment codes and the lifetime of their keys (`enrol.html`, `enrolment_code.html`) |
| `request_preview` | the Test tab (`test.html`) |
| `editing` | edit the description: name, slug, owner, labels (`edit.html`) |
| `proofs`, `secret` | add and remove a proof; rotate a secret (`add_proof.html`, `rotate_secret.html`) |
| `endings` | disable, enable, delete, revoke tokens (`ending.html`) |
| `client_lookup` | find the client that the path names; breadcrumbs |
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.clients import (
    bulk,
    connect,
    detail,
    editing,
    endings,
    enrolment,
    listing,
    onboarding,
    proofs,
    request_preview,
    secret,
)
from authsec_server.console.site import Console
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of clients. Fixed paths come first, because a client's slug can be the same word."""
    operator = Role.OPERATOR
    return [
        console.page("/clients", listing.listing),
        console.page("/clients/onboard", onboarding.blank, post=onboarding.onboard, least=operator),
        console.page("/clients/selectors", post=onboarding.check, least=operator),
        bulk.DISABLE.route(console),
        console.page("/clients/{client}", detail.overview),
        console.page("/clients/{client}/connect", connect.connect),
        console.page("/clients/{client}/enrol", enrolment.form, post=enrolment.make, least=operator),
        console.page("/clients/{client}/enrolments/{enrolment}/take-back", post=enrolment.take_back, least=operator),
        console.page("/clients/{client}/test", request_preview.test),
        console.page("/clients/{client}/edit", editing.form, post=editing.edit, least=operator),
        console.page("/clients/{client}/proofs/add", proofs.blank, post=proofs.add, least=operator),
        proofs.REMOVE.route(console),
        secret.ROTATE.route(console),
        *(ending.route(console) for ending in endings.CONFIRMATIONS),
    ]
