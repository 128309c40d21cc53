"""What has ended: the authority's feed of revocations, followed by an API.

`entries` and `batches` read it, `state` knows what has ended, `feed` how fresh that is, `messages`, `stream` and
`network` speak with the authority, `workers` once for all of a host, `follower` does it in the background (`run`) while
`leases` are held, `sharing` once for all verifiers of a process, `following` is what a verifier asks.

Nothing a batch says counts before the feed's own key has vouched for it.
"""
