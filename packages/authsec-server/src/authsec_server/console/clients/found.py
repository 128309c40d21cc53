"""The client that a page is about."""

from __future__ import annotations

from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx


def found(tx: Tx, visit: PageRequest) -> Client:
    """The client that the address names, by its id or slug. Raises `NotFound`."""
    return clients.get(tx, visit.act, visit.request.path_params["client"])


def home(client: Client) -> str:
    """The address of the client's page. By its id: a slug can be changed, and then be another's."""
    return f"/console/clients/{client.id}"
