/** Credentials for the OAuth flow of the MCP SDK (`StreamableHTTPClientTransport(url, { authProvider })`). */

import { CLOCK } from "./clock.js";
import { ConfigError } from "./errors.js";
import { checkAddress, httpHosts } from "./settings.js";

const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/**
 * Return an `OAuthClientProvider` of the MCP SDK. The SDK finds the authority by the server's metadata.
 *
 * `issuer` is required: without it, the MCP server would decide which authorization server receives the credential.
 * `credential` is a `keyFile`, a `tokenFile` or a `secretFile`. Without a `clientId`, the workload's token of a `tokenFile`
 * is the grant (RFC 7523 §2.1), and the authority finds the client by this token.
 */
export function mcpAuthProvider({ clientId, issuer, credential, scope, allowHttpHosts = httpHosts() } = {}) {
  const isNamed = typeof clientId === "string" && clientId !== "";
  const isWorkload = clientId === undefined && credential?.namesItself === true;
  if (!(isNamed || isWorkload) || typeof credential?.proof !== "function") {
    throw new ConfigError(
      "config_invalid",
      "mcpAuthProvider needs clientId, issuer and credential, for example keyFile(path).",
    );
  }
  checkAddress("issuer", issuer, allowHttpHosts);
  const name = clientId ?? "workload";
  const grant = isWorkload ? JWT_BEARER : "client_credentials";
  let saved; // no member: neither `util.inspect` nor `JSON.stringify` shows the tokens
  const forPeople = () => {
    throw new ConfigError("config_invalid", "The MCP server wants a person to sign in, and this client is a program.");
  };
  return {
    redirectUrl: undefined, // no person signs in
    clientMetadata: { client_name: name, redirect_uris: [], grant_types: [grant], scope },
    clientInformation: () => ({ client_id: name, issuer }),
    tokens: () => saved,
    saveTokens(tokens) {
      saved = tokens;
    },
    invalidateCredentials() {
      saved = undefined;
    },
    prepareTokenRequest: (wanted) => new URLSearchParams({ grant_type: grant, ...(wanted ? { scope: wanted } : {}) }),
    /** Add a fresh proof to a token request. The credential goes to the configured issuer alone. */
    async addClientAuthentication(_headers, params, url, metadata) {
      if (metadata?.issuer !== issuer || new URL(url).origin !== new URL(issuer).origin) {
        throw new ConfigError(
          "issuer_mismatch",
          `The MCP server names another authorization server than ${issuer}. Nothing was sent.`,
        );
      }
      const audience = async () => issuer;
      const { form } = await credential.proof({ clientId, issuer: audience, audience, now: CLOCK.wall() });
      const sent = isWorkload ? { assertion: form.client_assertion } : form;
      for (const [parameter, value] of Object.entries(sent)) params.set(parameter, value);
    },
    redirectToAuthorization: forPeople,
    codeVerifier: forPeople,
    saveCodeVerifier: forPeople,
  };
}
