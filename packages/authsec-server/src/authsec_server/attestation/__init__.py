"""Verify evidence and return the selectors that the evidence proves.

A selector is a key and a value that describe a workload, such as its namespace. `clients` decides which
proofs a client may use. `issuers` manages the trusted issuers. This package does not decide what a client
may do.

| module | owns |
|---|---|
| `service` | which kind of evidence a request has; what a caller without evidence gets |
| `key_pair`, `client_secret` | proof without an issuer: an assertion (algorithms: `authsec.jose.keys`), a secret |
| `workloads`, `workload_tokens` | verify and match a token; checks of form, signature, issuer, audience, times |
| `kinds` | which selectors the claims of a token prove, for each kind of issuer: Kubernetes, SPIFFE, OpenID Connect |
| `cluster` | what a cluster says about a token and its pod, and for how long the answer is cached |
| `client_search` | the client of a workload's token that names no client |
| `failure_counts` | metrics of evidence that proved no client, by trusted issuer |
| `matching` | whether a workload has all selectors of a proof; a description of the closest mismatch |
| `store` | used assertions, so that each works once |
| `model` | evidence, results, and reasons for a refusal |
| `explain/service`, `explain/model` | "Try a token": the steps, their order and their wording |
| `explain/pasted`, `explain/api` | find the token in pasted text; the operation |
"""
