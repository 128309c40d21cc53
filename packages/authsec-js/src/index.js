/** AuthSec for JavaScript: `AuthSecClient` for agents, `TokenVerifier` for APIs. docs/javascript.md explains both. */

export { AuthSecClient } from "./client.js";
export { keyFile, secretFile, tokenFile } from "./credentials.js";
export * from "./errors.js";
export { mcpAuthProvider } from "./mcp-provider.js";
export { DelegationToken } from "./tokens.js";
export { TokenVerifier, VerifiedToken } from "./verifier.js";
