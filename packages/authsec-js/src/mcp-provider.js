/** Credentials for the OAuth flow of the MCP SDK (`StreamableHTTPClientTransport(url, { authProvider })`). */

import { CLOCK } from "./clock.js";
import { ConfigError } from "./errors.js";
import { checkAddress, httpHosts } from "./settings.js";

/**
 * Return an `OAuthClientProvider` of the MCP SDK. The SDK finds the authority by the server's metadata.
 *
 * `issuer` is required: without it, the MCP server would decide which authorization server receives the credential.
 * `credential` is a `keyFile`, a `tokenFile` or a `secretFile`.
 */
export function mcpAuthProvider({ clientId, issuer, credential, scope, allowHttpHosts = httpHosts() } = {}) {
  if (typeof clientId !== "string" || clientId === "" || typeof credential?.proof !== "function") {
    throw new ConfigError("mcpAuthProvider needs clientId, issuer and credential, for example keyFile(path).", {
      reason: "config_invalid",
    });
  }
  checkAddress("issuer", issuer, allowHttpHosts);
  return new McpAuthProvider({ clientId, issuer, credential, scope });
}

class McpAuthProvider {
  #settings;
  #tokens;

  constructor(settings) {
    this.#settings = settings;
  }

  get redirectUrl() {
    return undefined; // no person signs in
  }

  get clientMetadata() {
    const { clientId, scope } = this.#settings;
    return { client_name: clientId, redirect_uris: [], grant_types: ["client_credentials"], scope };
  }

  clientInformation() {
    const { clientId, issuer } = this.#settings;
    return { client_id: clientId, issuer };
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  invalidateCredentials() {
    this.#tokens = undefined;
  }

  prepareTokenRequest(scope) {
    return new URLSearchParams({ grant_type: "client_credentials", ...(scope ? { scope } : {}) });
  }

  /** Add a fresh proof to a token request. The credential goes to the configured issuer alone. */
  addClientAuthentication = async (_headers, params, url, metadata) => {
    const { clientId, issuer, credential } = this.#settings;
    if (metadata?.issuer !== issuer || new URL(url).origin !== new URL(issuer).origin) {
      throw new ConfigError(`The MCP server names another authorization server than ${issuer}. Nothing was sent.`, {
        reason: "issuer_mismatch",
      });
    }
    const audience = async () => issuer;
    const { form } = await credential.proof({ clientId, issuer: audience, audience, now: CLOCK.wall() });
    for (const [name, value] of Object.entries(form)) params.set(name, value);
  };

  redirectToAuthorization() {
    throw new ConfigError("The MCP server wants a person to sign in, and this client is a program.", {
      reason: "config_invalid",
    });
  }

  codeVerifier() {
    return this.redirectToAuthorization();
  }

  saveCodeVerifier() {
    this.redirectToAuthorization();
  }
}
