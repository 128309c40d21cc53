"""Roles & Actions: which roles there are, what each holds, and what a change of one would do."""

from authsec_server.console.roles.pages import routes

__all__ = ["routes"]
