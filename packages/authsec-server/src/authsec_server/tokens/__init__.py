"""Delegation tokens for agents: decide about a token request, record the decision, sign the token, answer.

The package `attestation` authenticates the caller. The packages `delegations` and `roles` define the
caller's permissions.

| module | owns |
|---|---|
| `request` | syntax and limits of a token request |
| `token_endpoint` | `POST /oauth/token`, the OAuth token endpoint: its answers, error codes and headers |
| `dpop` | DPoP proofs at the OAuth token endpoint: the check, nonces, single use |
| `token_form` | the form of the OAuth token endpoint: its grants, and how a client authenticates |
| `decision` | the checks of a request; granted actions, audience and lifetime |
| `refusal` | a refusal, and every reason to refuse |
| `issue` | the steps of a request: facts, proof, record, signature; which steps need a thread |
| `recording` | the transaction that many requests share: decide and record |
| `limits` | rate limits |
| `templates` | the common parts of the tokens of one decision: claims, event and answer with placeholders |
| `records` | record a refusal in the audit log, as an event or in a count |
| `facts` | load facts; cache the facts of recent requests |
| `claims` | header and claims of a token |
| `direct` | answer the usual request without the ASGI application |
| `log_notes` | the client and the reason in the line of a token request in the log |
| `api` | the delegation-token endpoint: its status codes and headers |
| `refusal_texts` | the texts that the agent reads about a refusal, at both endpoints |
| `hints` | the texts that the operator reads about a refusal: the remedy and its console page |
| `events_api` | one audit event with its request and its remedy |
| `preview` | the result that a request would have, for the Test tab and for new delegations |
| `introspection` | whether a token is valid now (RFC 7662); the endpoint |
| `revocation` | revoke one token, by operator or holder; the endpoints |
| `own_tokens` | whether this authority signed a pasted token |
"""
