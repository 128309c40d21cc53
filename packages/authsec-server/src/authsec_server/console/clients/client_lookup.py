"""Find the client of a page; the path and the breadcrumbs of a client's page."""

from __future__ import annotations

from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx

LIST_TRAIL = [("Clients", ""), ("MCP Servers / AI Agents", "/console/clients")]
"""The breadcrumbs of a page below the list of clients."""


def find_client(tx: Tx, visit: PageRequest) -> Client:
    """Return the client with the id or slug in the path. Raises `NotFound`."""
    return clients.get(tx, visit.act, visit.named("client"))


def home(client: Client) -> str:
    """Return the path of the client's page.

    The path contains the id, because a slug can change and then belong to another client.
    """
    return f"/console/clients/{client.id}"


def trail(client: Client) -> list[tuple[str, str]]:
    """Return the breadcrumbs of a page below the client's page."""
    return [*LIST_TRAIL, (client.name, home(client))]
