"""The composition root: it builds the authority from the settings. Only this package imports every room.

`lifecycle` opens the authority and runs its maintenance while it serves. `services` builds the objects that
the rooms need. `routes` combines the routes of all rooms.
"""

from authsec_server.app.lifecycle import Authority, as_served, open_authority, refuse_to_serve
from authsec_server.app.runtime import Runtime

__all__ = ["Authority", "Runtime", "as_served", "open_authority", "refuse_to_serve"]
