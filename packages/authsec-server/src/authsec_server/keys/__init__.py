"""The signing keys: their states, their encryption at rest, and the published JWK set.

`tokens` decides which tokens the keys sign.
"""
