"""Roles: named sets of actions. APIs describe what the actions mean (`apis`)."""
