"""The revocation feed: an ordered list of revocations. The transaction that revokes also writes the entry.

The packages that call this package decide who may revoke what.

| module | owns |
|---|---|
| `model` | which subjects can be revoked; which subjects a token depends on |
| `service` | write and read entries; how long entries are kept; when a reader gets a snapshot |
| `feed` | the signed head; pages and snapshots as JSON, and how long they are cached |
| `live` | the stream: how often the database is read, how often a head is sent, when a slow reader is dropped |
| `subscribers` | which APIs follow the feed, and for how long after they were last seen |
| `api` | parameters, headers and rate limit of the feed's endpoints |
| `store` | tables and SQL |
"""
