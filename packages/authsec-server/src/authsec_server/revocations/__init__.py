"""The revocation feed: an ordered list of revocations. The revoking transaction writes each entry.

The packages that call this one decide who may revoke what.
"""
