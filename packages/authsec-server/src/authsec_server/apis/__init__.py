"""Protected APIs and MCP servers: their audiences and the actions that they describe."""
