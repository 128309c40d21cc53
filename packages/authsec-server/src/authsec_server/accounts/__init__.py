"""Accounts that administer the authority: administrators, their sessions and one-time links, and admin keys.

The sign-in pages are in `console`. `principal.py` defines what a principal may do.

| module | owns |
|---|---|
| `authentication` | who sends a request: an admin key, a session cookie, the local operator; limit on failures |
| `sessions` | begin, list and end sessions |
| `sign_in`, `transactions` | sign-in of a person: rate limits and hashing first, then one transaction |
| `second_factor` | turn a second factor on and off, reset it, use its codes: in an open transaction |
| `second_step` | the second step of a sign-in: limits and checks before the transaction; encryption of secrets |
| `passwords` | rules for new passwords; password hashes; limit of parallel hashing |
| `oidc/flow`, `oidc/provider` | sign-in by an OpenID provider: the two redirects; the provider's metadata and key set |
| `oidc/id_token` | checks of the ID token |
| `oidc/identity` | mapping of claims to roles; messages for a refused person |
| `oidc/transaction` | state between the two redirects, in a cookie |
| `administrators` | invite, edit, disable, reset; never lock out the last admin; sign-in links |
| `admin_keys` | create, revoke and find admin keys; the bootstrap key |
| `api` | the admin API operations for administrators, links and admin keys |
| `links` | make, look up and use one-time links |
| `model/administrators` | people, and the purposes and states of their one-time links |
| `model/sessions`, `model/admin_keys` | expiry of sessions and keys; reasons for a refused sign-in |
| `model/secret` | length and stored hash of session cookies, links and admin keys |
| `lookup` | find an administrator, the person or key that an audit filter names, the creator of an enrolment code |
| `model/second_factor` | codes of an authenticator app (TOTP), recovery codes, their limits |
| `store`, `second_factor_store`, `admin_key_store` | tables and SQL |
"""
