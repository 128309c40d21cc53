"""Accounts that administer the authority: administrators, their sessions and one-time links, and admin keys.

The sign-in pages are in `console`. `principal.py` defines what a principal may do.

| module | owns |
|---|---|
| `authentication` | who sends an admin API request: an admin key or the local operator; limit on failures per minute |
| `session_auth`, `sessions` | who sends a console request, by session cookie; begin, list and end sessions |
| `sign_in`, `transactions` | sign-in of a person: rate limits and hashing first, then one transaction |
| `throttle`, `hashing` | rate limits for wrong passwords; password hashes, and how many are made at the same time |
| `oidc/flow`, `oidc/provider` | sign-in by an OpenID provider: the two redirects; the provider's metadata and key set |
| `oidc/id_token`, `oidc/identity` | checks of the ID token; which claim gives which role |
| `oidc/transaction`, `oidc/refusal` | state between the two redirects, in a cookie; messages for a refused person |
| `administrators`, `administrators_api` | invite, edit, disable, reset; keep one administrator who can sign in |
| `admin_keys`, `admin_keys_api` | create, revoke and find admin keys; the bootstrap key |
| `links`, `links_api`, `local_links` | one-time links; links that only the operator at the server's machine may make |
| `model/passwords` | which new passwords are too short or too easy to guess |
| `model/links` | the lifetimes of one-time links |
| `model/sessions`, `model/admin_keys` | when a session or key expires (lifetimes: `settings`) |
| `model/secret` | length and stored hash of session cookies, links and admin keys |
| `lookup` | find an administrator by id or email; find the person or key that an audit filter names |
| `current_principal` | whether the creator of an enrolment code is still permitted, when a machine uses the code |
| `store/` | tables and SQL, one module for each table |
"""
