"""Code that all rooms with HTTP share: error responses, request context, strict bodies, limits and paging.

The package needs a `Principal` but does not authenticate one: `accounts` does, and `app` connects the two.
"""
