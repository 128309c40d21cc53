"""`mcp_auth`: an HTTP client for the MCP client of an agent, whose session survives a denial."""
