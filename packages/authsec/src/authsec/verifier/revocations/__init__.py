"""Revocations: an API follows the authority's feed of revocations.

| module | owns |
|---|---|
| `batch`, `state` | reading of one signed batch; the known revocations, and the age of this information |
| `authority_source` | the feed over HTTP: as a stream of events, or page by page |
| `shared_file`, `workers` | the file that the workers of a host share; the election of the one worker that writes it |
| `follower`, `leases`, `shared_follower` | the background thread; its leases; one thread per process and authority |
| `policy`, `log` | the verifier's interface to the revocations; the operator's log |

A batch is applied only after one of the feed's keys has verified its signature.
"""
