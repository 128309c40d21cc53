"""Revocations: an API follows the authority's feed of revocations.

| module | owns |
|---|---|
| `batch`, `state` | reading one signed batch; the revocations, and how fresh they are |
| `authority_source` | the feed over HTTP: as a stream of events, or page by page |
| `shared_file`, `workers` | one follower for all workers of a host, and the file that the others read |
| `follower`, `leases`, `shared_follower` | the background thread, its leases, one per process and authority |
| `policy`, `log` | the verifier's questions; the operator's log |

A batch is applied only after a key of the feed has verified its signature.
"""
