"""The web console. Pages read forms, call the services of the domain packages and render HTML.

The domain packages decide what is permitted and compute the impact of a change. `web` handles requests and
responses. Each package here (`clients/`, `delegations/`, …) is one entry of the sidebar; its templates have
the same name. There, `fields.html` has the inputs of a form, `parts.html` or `shown.html` what several pages
show, `changes.html` the review of an edit, and `ending.html` a confirmation.

| module | owns |
|---|---|
| `routes`, `navigation` | which pages exist; the sidebar |
| `site` | what each page's function gets: session, form, transaction, `render` |
| `guard`, `errors` | security headers and refusal of cross-site posts; pages for failures |
| `forms`, `edit_form` | read forms and queries; a form that somebody else's edit has overtaken |
| `confirm`, `impact_text` | changes that ask for confirmation; sentences about the impact |
| `notices` | the sentence after a successful change |
| `rendering`, `words` | functions and filters of templates: times, plurals, names of kinds |
| `entrance/`, `authorization` | sign-in, one-time links, single sign-on; the refusal of `/oauth/authorize` |
| `static`, `static/console.css`, `static/console.js` | caching of static files; style; script of all pages |
| `static/delegations.js`, `static/selectors.js`, `static/live.js` | new delegations, selector rows, live audit log |
| `templates/page.html`, `templates/layout.html` | the HTML head; sidebar, top bar and breadcrumbs |
| `templates/entrance.html`, `templates/failure.html` | the one card of pages outside the console; error pages |
| `templates/list.html`, `templates/confirm.html` | what all lists have; what all confirmations have |
| `templates/parts.html`, `templates/symbols.html` | inputs, alerts, badges, copy buttons; icons |
| `templates/clients/frame.html` | name and tabs of every page of one client |
| `templates/clients/proof_fields.html` | the inputs of a proof, when onboarding and when adding |
| `templates/delegations/new/step.html` | what the four steps of a new delegation have |
| `activity/`, `dashboard/` | the audit log, and revoking one token; alerts and the picture of authority |
| `charts`, `templates/charts.html` | bars of tokens over time |
"""
