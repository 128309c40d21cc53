"""Roles: named sets of actions. What an action means is described in `apis`."""
