"""The signing keys: their states, their encryption at rest, and the published JWK set.

`tokens` decides which tokens the keys sign. Other keys sign the heads of the revocation feed, and the
checkpoints of the audit log.

| module | owns |
|---|---|
| `model` | the states of a token key; when a new key may sign; how early and how late a key is published |
| `key_ring` | make RSA keys outside of transactions; rotation by age; how long a retired key stays published |
| `service` | list, rotate, expire and revoke under the authority lock |
| `signer` | sign a token, with decrypted keys that stay in memory |
| `signing_processes`, `signing_process` | sign in separate processes; the program of such a process |
| `api` | the key set and its cache time; the authority's metadata; the operations on all keys |
| `store` | tables and SQL |
| `master_key` | encryption of private keys at rest; the master key's file |
| `master_key_change` | encrypt all private keys with a new master key |
| `head_keys` | make, encrypt and decrypt the keys of the feed and of the audit log |
| `feed_keys` | when a key of the revocation feed is replaced, published and deleted |
| `sealing_keys` | the key of the audit log: make, publish, replace |
| `sealing_key_file` | the key of the audit log in a separate file |
"""
