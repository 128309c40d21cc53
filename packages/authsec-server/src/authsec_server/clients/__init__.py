"""AI agents and MCP servers as clients, and the proofs by which each client authenticates.

The package `attestation` checks the proofs. The package `delegations` decides what a client may do.

| module | owns |
|---|---|
| `model` | fields and limits: labels, proofs, overlap of secrets |
| `service` | onboard, edit, enable, disable, delete clients; revoke tokens; what the audit log says about a client |
| `api` | the admin API operations for clients and their proofs |
| `store` | tables and indexes of clients, proofs and enrolment codes; load and save a client with its proofs |
| `search` | the filters, orders and cursor of a list of clients, and its SQL; many clients by slug |
| `views` | a client and its proofs as JSON, in requests, documents and answers |
| `proofs` | make a proof from a request: selectors, key, secret or nothing |
| `held_proofs` | add and remove a client's proofs; rotate a secret; the longest overlap of two secrets |
| `proof_status` | texts about a stored or typed proof: state, other workloads that match, other clients |
| `binding_matching` | which trusted issuer can prove the selectors of a proof; why another issuer cannot |
| `bindings`, `binding_store`, `bindings_api` | bind proofs; update them with their trusted issuer; SQL; operations |
| `workload_proofs` | find the clients whose proofs a workload may match |
| `enrolment` | an enrolment code: lifetimes, limits, and reasons for a refusal |
| `enrolment_service`, `enrolment_api` | make, revoke, use enrolment codes; operations, and the endpoint for machines |
| `selector_keys` | which selectors exist for each platform and each OpenID Connect preset |
| `selectors` | syntax and number of typed selectors, and the error texts |
| `k8s_manifest` | the Kubernetes manifest of the Connect tab and of `authsec agents manifest` |
| `pod_token` | the volume by which a Kubernetes pod gets a token for AuthSec |
"""
