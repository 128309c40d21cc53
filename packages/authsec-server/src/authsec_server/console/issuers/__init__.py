"""Trusted issuers: list, add, edit and remove them, and test their tokens.

| module | owns |
|---|---|
| `pages` | the list; one issuer with its keys and clients; `Try a token` |
| `changes` | the form; add, edit, disable, enable, remove; fetch keys, check the cluster, bind proofs |
| `unavailable` | warnings about unavailable issuers, on the pages of their clients |
"""
