"""Trust delegations: the list, the page that creates one, and the pages that edit, disable or revoke one.

The templates are in `templates/delegations/`. The folder `new/` has the parts of the page that creates one.

| module | owns |
|---|---|
| `pages` | the list: search, filters, orders (`list.html`) |
| `pages` | one delegation, with the claims of its tokens; disable, enable, revoke (`detail.html`, `ending.html`) |
| `creation` | the page that creates one: its buttons, its parts, suggestions of clients (`new/`) |
| `draft` | the values chosen so far, and their problems |
| `choices` | the roles, clients, actions and audiences to choose from |
| `proposed` | the review before the creation, and its fingerprint |
| `edit_review` | the edit form and its review (`edit.html`, `changes.html`) |
"""
