"""What every HTTP room shares: failures into answers, request context, strict bodies, limits, paging.

It asks for a `Principal` and does not know how one is authenticated: `accounts` does, and `app` plugs it in.
"""
