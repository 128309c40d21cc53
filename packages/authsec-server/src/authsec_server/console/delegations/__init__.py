"""Trust delegations: the list, the four steps that create one, and the pages that edit, disable or revoke one.

The templates are in `templates/delegations/`. The templates of the four steps are in its folder `new/`.

| module | owns |
|---|---|
| `pages` | the list: search, filters, orders (`list.html`) |
| `pages` | one delegation, with the claims of its tokens; disable, enable, revoke (`detail.html`, `ending.html`) |
| `creation` | the order of the steps, and what each step sends (`new/`) |
| `draft` | the values chosen so far, and the first step with a problem |
| `steps` | the roles, clients, actions and audiences that a step offers (`new/`) |
| `edit_review` | the edit form and its review (`edit.html`, `changes.html`) |
"""
