"""Clients (MCP Servers / AI Agents): the list, the onboarding dialog and the pages of one client."""

from authsec_server.console.clients.routes import routes

__all__ = ["routes"]
