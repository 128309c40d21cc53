"""The composition root: settings in, the authority out. The only place that knows every room.

`lifecycle` opens the authority and keeps it in order for as long as it is served. `services` builds what the rooms are
given, and `routes` puts their routes together.
"""

from authsec_server.app.lifecycle import Authority, as_served, open_authority, refuse_to_serve
from authsec_server.app.runtime import Runtime

__all__ = ["Authority", "Runtime", "as_served", "open_authority", "refuse_to_serve"]
