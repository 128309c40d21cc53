"""AI agents and MCP servers as clients, and the proofs by which each client authenticates.

The package `attestation` checks the proofs. The package `delegations` decides what a client may do.

| module | owns |
|---|---|
| `model`, `shapes` | fields and limits: labels, proofs, overlap of secrets; the JSON of a client's description |
| `service`, `api` | onboard, edit, enable, disable and delete clients; revoke tokens; the admin API operations |
| `store` | tables and indexes; load and save a client with its proofs |
| `search` | find and list clients for callers, with the caller's role checked |
| `search_sql` | SQL of the search: the conditions for a text, a label or an alert, and each order |
| `filters` | the filters and orders of a list of clients; the list's cursor |
| `views` | a client and its proofs as JSON |
| `records` | what the audit log says about a client and a proof |
| `proofs`, `proofs_api` | make a proof from a request: selectors, key, secret or nothing; the admin API operations |
| `held_proofs` | add and remove a client's proofs; rotate a secret; the longest overlap of two secrets |
| `proof_status` | texts about a stored proof: valid, too broad, shared, or who else satisfies it |
| `proof_preview` | the same texts for selectors that a person is still typing |
| `binding_matching` | which trusted issuer can prove the selectors of a proof; why another issuer cannot |
| `bindings`, `binding_store`, `issuers_api` | proofs when a trusted issuer is edited or removed; SQL; operations |
| `enrolment`, `enrolment_store` | how long a code and its key are valid, and how many codes; the table |
| `enrolment_service`, `enrolment_api` | make, revoke and use enrolment codes; the admin API operations |
| `enrolment_endpoint` | the endpoint for machines: rate limit, order of checks |
| `selectors/keys`, `selectors/issuers` | which selectors exist for each platform and each OpenID Connect preset |
| `selectors/parsing` | syntax and number of typed selectors, and the error texts |
| `k8s_manifest` | the Kubernetes manifest of the Connect tab and of `authsec agents manifest` |
"""
