"""Find the client of a page, and the path of a client's page."""

from __future__ import annotations

from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx


def found(tx: Tx, visit: PageRequest) -> Client:
    """Return the client with the id or slug in the path. Raises `NotFound`."""
    return clients.get(tx, visit.act, visit.request.path_params["client"])


def home(client: Client) -> str:
    """Return the path of the client's page, with the id: a slug can change and then belong to another client."""
    return f"/console/clients/{client.id}"
