"""Trust delegations: each gives one client some actions of one role, for a limited or unlimited time.

The package `roles` defines the actions of a role. The package `tokens` decides which delegated actions a
token request gets.

| module | owns |
|---|---|
| `model` | fields, states and filters of a delegation |
| `client_state` | the state of a client: *Disabled*, *Can't authenticate*, *No delegation*, *Ready* |
| `validation` | which values are refused, which values get a warning |
| `term_changes` | the values before and after an edit; which edits narrow a delegation |
| `service` | create, disable, enable, revoke; slugs; delete a client or role with its delegations |
| `api` | a delegation as JSON, in requests, documents and responses; the operations |
| `editing` | edit a delegation; revoke its tokens if the edit narrows it |
| `search` | filtered and sorted lists; numbers for each role, client and state; the clients of a state |
| `resolve` | find by id or slug, with role, client and warnings; suggestions for an unknown name |
| `store` | tables, and SQL of filters and orders |
| `effective` | all actions of a client; all callers of an API |
| `impact`, `live_tokens` | the impact of a change before it is made; the unexpired tokens that the change ends |
| `dry_run_impact` | the impact as JSON, in the answer of a dry run |
| `grants` | all delegations that one administrator or admin key made, and their revocation |
"""
