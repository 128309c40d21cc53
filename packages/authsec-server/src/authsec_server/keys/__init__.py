"""The signing keys: prepared, active, retired, gone; sealed at rest; published as a JWK set.

What is signed with them is decided in `tokens`.
"""
