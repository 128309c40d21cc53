"""The web console. Pages read forms, call the services of the domain packages and render HTML.

The domain packages decide what is permitted and compute the impact of a change. `web` handles requests and
responses. Each entry of the sidebar is a package here (`clients/`, `delegations/`, …) or a module (`roles`, `apis`). A
folder of `templates/` with the same name has its templates. In such a folder, `fields.html` has the inputs of a form.
`parts.html` or `shown.html` has what several pages show. `changes.html` is the review of an edit, and
`ending.html` is a confirmation.

| module | owns |
|---|---|
| `routes` | which pages exist; the theme |
| `site` | what each page's function gets: session, form, transaction, `render`; the sidebar; notices |
| `guard`, `errors` | security headers and refusal of cross-site posts; pages for failures |
| `server_command` | commands for the server's machine, with the options for this server's data |
| `addresses` | paths that other modules need; the check for plain http |
| `forms` | read forms, queries, typed times, pasted ids; the stored values to show beside an outdated edit |
| `confirm`, `impact_text` | changes that ask for confirmation; sentences about the impact |
| `client_status` | the badges of a client: its state and its warnings |
| `rendering`, `formatting` | templates, their filters: times, plurals, names of kinds; caching of static files |
| `second_factor` | turn the second factor on and off; reset that of another administrator |
| `notices` | the notices after a change |
| `sign_in` | sign-in, its second step, one-time links, single sign-on, cookies; the page of `/oauth/authorize` |
| `static/css/`, `static/console.js` | the sheets of `console.css`; script of all pages |
| `static/delegations.js`, `static/selectors.js`, `static/live.js` | new delegations, selector rows, live audit log |
| `static/combobox.js`, `static/search.js` | a text field with suggestions; the search field |
| `static/problems.js` | problems of a refused form, which disappear while their fields differ from the refused values |
| `static/pointer.js`, `static/announcer.js` | whether the pointer is down; texts for screen readers |
| `templates/page.html`, `templates/layout.html` | the HTML head; sidebar, top bar and breadcrumbs |
| `templates/sign_in.html`, `templates/failure.html` | the frame of the sign-in pages; error pages |
| `templates/list.html`, `templates/confirm.html` | the parts that all lists have; the parts of all confirmations |
| `templates/parts.html`, `templates/symbols.html` | inputs, alerts, badges, copy buttons; icons |
| `templates/clients/frame.html` | name and tabs of every page of one client |
| `templates/clients/state.html` | the badges of a client on every page; the alert about a client that gets no token |
| `templates/clients/proof_fields.html` | the inputs of a proof, for a new client and for a further proof |
| `templates/delegations/new/page.html` | the page that creates a delegation; its parts are the other templates there |
| `activity/` | the audit log, its live stream and downloads; revoking one token |
| `dashboard` | figures, charts and alerts |
| `picture`, `delegation_graph`, `static/picture.js` | the delegation diagram: its page, its drawing, its lit paths |
| `administrators` | people who can sign in, what each of them delegated, and admin keys for programs |
| `apis`, `api_snippets` | APIs and their credentials; code that protects an API, for each framework |
| `charts`, `templates/charts.html` | bars of tokens over time |
"""
