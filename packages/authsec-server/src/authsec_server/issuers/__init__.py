"""Trusted issuers: clusters, trust domains and OpenID Connect issuers, and the keys that verify their tokens.

`attestation` reads the claims about a workload. `clients` contains the proofs that name a trusted issuer. A
look-up is a question to the API server of a cluster about a token or a pod.

| module | owns |
|---|---|
| `model` | fields, allowed algorithms, which selectors an issuer can prove |
| `validation` | refuse a request to register or edit, a cluster's URL or certificates; which edit reduces trust |
| `addresses` | refuse an issuer's URL, a trust domain, another URL or an audience |
| `claims` | which claim a selector means: presets of GitHub, GitLab, Google, Azure; own claims |
| `key_set_parsing` | refuse a key set: how many keys, length of a `kid`, algorithms; detect a pasted private key |
| `key_fetch` | where a key set is fetched from: discovery, time and size limit |
| `key_cache` | when one issuer's keys are fetched again, how long old keys are used, which callers wait |
| `key_sets` | the key for a `kid`, for all issuers; how many callers may wait |
| `cluster_client` | questions to a cluster's API server: credentials, limits, concurrency |
| `service` | register, edit, enable, disable, remove and find |
| `api` | an issuer as JSON; the operations; show the state of keys and look-ups, fetch keys and test look-ups now |
| `store` | table of issuers; table of fetched keys, which servers share |
"""
