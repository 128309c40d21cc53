"""Revocations: the authority's feed of what has ended, followed by an API.

| module | owns |
|---|---|
| `batch`, `state` | reading one signed batch; what is revoked, and how fresh that is |
| `stream`, `authority_source` | the feed over HTTP: as a stream of events, or page by page |
| `shared_file`, `workers` | one follower for all workers of a host, and the file that the others read |
| `follower`, `leases`, `shared_follower` | the background thread, for whom it runs, one a process and authority |
| `policy`, `log` | what a verifier asks; what the operator reads |

No batch is applied before a key of the feed has verified it.
"""
