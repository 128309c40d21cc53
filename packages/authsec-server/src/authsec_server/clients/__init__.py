"""AI agents and MCP servers as clients, and the proofs by which each client authenticates.

`attestation` checks the proofs. `delegations` decides what a client may do.

| module | owns |
|---|---|
| `model`, `shapes` | fields and limits: labels, proofs, overlap of secrets; the JSON of a description |
| `service`, `api` | onboard, edit, enable, disable and delete clients; revoke tokens; the operations |
| `store` | tables and indexes; load and save a client with its proofs |
| `search` | find and list clients for callers, with the caller's role checked |
| `search_sql` | SQL of the search: what a text, a label or an alert matches, and each order |
| `filters` | which filters and orders a list has; its cursor |
| `views` | a client and its proofs as JSON |
| `records` | what the audit log says about a client and a proof |
| `proofs`, `proofs_api` | make a proof from a request: selectors, key, secret or nothing; the operations |
| `held_proofs` | add and remove a client's proofs; rotate a secret, with the longest overlap |
| `proof_status` | the words for a stored proof: valid, too broad, shared, or who else satisfies it |
| `outlook` | the same for selectors that a person is still typing |
| `binding_matching` | which trusted issuer fits a selector proof; why another one does not fit |
| `bindings`, `binding_store`, `issuers_api` | proofs when a trusted issuer is edited or removed; SQL; operations |
| `enrolment`, `enrolment_store` | how long a code and its key are valid, and how many codes; the table |
| `enrolment_service`, `enrolment_api` | make codes, take codes back, use a code; the operations |
| `enrolment_endpoint` | the endpoint for machines: rate limit, order of checks |
| `selectors/keys`, `selectors/issuers` | which selectors exist for each platform and each OpenID Connect preset |
| `selectors/parsing` | syntax and number of typed selectors, and the error texts |
| `k8s_manifest` | the Kubernetes manifest of the Connect tab and of `authsec agents manifest` |
"""
