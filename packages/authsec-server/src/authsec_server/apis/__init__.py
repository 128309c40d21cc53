"""Protected APIs and MCP servers as resources: their audience and the actions that they describe."""
