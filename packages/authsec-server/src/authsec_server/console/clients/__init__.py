"""Clients → MCP Servers / AI Agents: the list, onboarding, and the page of each client with what may be done to it."""

from authsec_server.console.clients.routes import routes

__all__ = ["routes"]
