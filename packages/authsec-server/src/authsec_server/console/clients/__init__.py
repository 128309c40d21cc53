"""The pages "MCP Servers / AI Agents": the list of clients, the onboarding dialog and the pages of one client.

The templates are in `templates/clients/`. `frame.html` has the name and the tabs of one client.
`state.html` has the badges of a client, which all pages show. `next_step.html` has the checklist and the next step,
and `permissions.html` the permitted actions. `parts.html` has inputs, facts and warnings.

| module | owns |
|---|---|
| `pages` | the list: filters, orders, page size; disable many (`list.html`, `disable_many.html`) |
| `pages` | onboard, edit; disable, enable, delete, revoke tokens (`onboard.html`, `edit.html`, `ending.html`) |
| `forms` | convert the typed values to a request to the service |
| `selector_fields` | the dropdown of selector keys; the feedback on each selector row |
| `proofs` | the fields of a proof, also of a new client; add, bind, remove, rotate a secret (`proof_fields.html`) |
| `detail` | the Overview tab; how a refused workload differed from each proof (`overview.html`); breadcrumbs |
| `next_step` | the checklist to the first token, and the shortest way to a usable proof; pure |
| `issuer_commands` | the commands that add a trusted issuer for a proof; pure |
| `connect` | the Connect tab: commands to copy (`connect.html`, `shells.html`) |
| `shells` | lines for bash and PowerShell that set variables; pure |
| `enrolment_codes` | create an enrolment code for a laptop, and revoke it (`enrol.html`, `enrolment_code.html`) |
| `snippets` | the code for each framework on the Connect tab |
| `oauth_clients` | settings and code on the Connect tab for JavaScript, any OAuth client and MCP clients; pure |
| `request_preview` | the Test tab (`test.html`) |
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.clients import connect, detail, enrolment_codes, pages, proofs, request_preview
from authsec_server.console.site import Console
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of clients. Fixed paths come first, because a client's slug can be the same word."""
    operator = Role.OPERATOR
    return [
        console.page("/clients", pages.listing),
        console.page("/clients/onboard", pages.onboard_form, post=pages.onboard, least=operator),
        console.page("/clients/selectors", post=proofs.check, least=operator),
        pages.DISABLE.route(console),
        console.page("/clients/{client}", detail.overview),
        console.page("/clients/{client}/connect", connect.connect),
        console.page(
            "/clients/{client}/enrol", enrolment_codes.enrolment_form, post=enrolment_codes.make_code, least=operator
        ),
        console.page(
            "/clients/{client}/enrolments/{enrolment}/take-back", post=enrolment_codes.take_back, least=operator
        ),
        console.page("/clients/{client}/test", request_preview.test),
        console.page("/clients/{client}/edit", pages.edit_form, post=pages.edit, least=operator),
        console.page("/clients/{client}/proofs/add", proofs.blank, post=proofs.add, least=operator),
        console.page("/clients/{client}/check", post=proofs.check_issuers, least=Role.ADMIN),
        console.page("/clients/{client}/proofs/{proof}/bind", post=proofs.bind, least=operator),
        proofs.REMOVE.route(console),
        proofs.ROTATE.route(console),
        *(ending.route(console) for ending in pages.CONFIRMATIONS),
    ]
