"""The composition root: settings in, the authority out. The only place that knows every room.

`opening` opens it, `wings` builds what the rooms are given, `doors` puts their routes together, `upkeep` keeps it in
order for as long as it is served.
"""

from authsec_server.app.lifecycle import Authority, as_served, open_authority, refuse_to_serve
from authsec_server.app.runtime import Runtime

__all__ = ["Authority", "Runtime", "as_served", "open_authority", "refuse_to_serve"]
