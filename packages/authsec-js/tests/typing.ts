/** A program of each kind, which the TypeScript compiler must accept; and calls that it must refuse. */

import * as authsec from "authsec-js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  AuthSecClient,
  AuthSecError,
  DelegationDenied,
  keyFile,
  mcpAuthProvider,
  TokenVerifier,
  VerificationError,
} from "authsec-js";

/** Each export of the package has a type, and each type is exported. */
export const EXPORTS = {
  AuthSecClient: true,
  AuthSecError: true,
  AuthenticationError: true,
  ConfigError: true,
  DelegationDenied: true,
  DelegationToken: true,
  InsufficientScope: true,
  InvalidRequest: true,
  InvalidResponse: true,
  InvalidToken: true,
  KeysUnavailable: true,
  RateLimited: true,
  RevocationsUnavailable: true,
  ServerError: true,
  TokenRequestError: true,
  TokenVerifier: true,
  TransportError: true,
  VerificationError: true,
  VerificationUnavailable: true,
  VerifiedToken: true,
  keyFile: true,
  mcpAuthProvider: true,
  secretFile: true,
  tokenFile: true,
} satisfies Record<keyof typeof authsec, true>;

export async function callApi(): Promise<string> {
  const client = new AuthSecClient({ baseUrl: "https://authsec.example.com", credential: keyFile("agent-key.pem") });
  const crm = client.authorizedFetch({ allowedOrigins: "https://crm.example.com", scope: ["customers:read"] });
  try {
    const response = await crm("https://crm.example.com/customers/42", { method: "GET" });
    const token = await client.getToken({ resource: "https://crm.example.com" });
    client.invalidate(token);
    return `${await response.text()} ${token.expiresAt.toISOString()}`;
  } catch (error) {
    if (error instanceof AuthSecError && error.isOfTheSetup) return error.forModel;
    if (!(error instanceof DelegationDenied)) throw error;
    return `${error.reason} ${error.missingActions.join(" ")} ${error.forModel} ${error.requestId ?? ""}`;
  }
}

export async function verify(authorization: string | undefined): Promise<[number, string | undefined, string?]> {
  const verifier = new TokenVerifier({ issuer: "https://authsec.example.com", audience: "https://crm.example.com" });
  try {
    const agent = await verifier.verifyHeader(authorization);
    agent.require("customers:read");
    return [agent.permissions.length, agent.clientId];
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return [error.status, error.challenge, error.body.details];
  } finally {
    verifier.close();
  }
}

export function connectMcp(): StreamableHTTPClientTransport {
  const credential = keyFile("agent-key.pem");
  const authProvider = mcpAuthProvider({ clientId: "night-owl", issuer: "https://authsec.example.com", credential });
  return new StreamableHTTPClientTransport(new URL("https://crm.example.com/mcp"), { authProvider });
}

// @ts-expect-error: without an audience, the API could accept a token for another API
new TokenVerifier({ issuer: "https://authsec.example.com" });
// @ts-expect-error: without origins, no API would get a token
new AuthSecClient().authorizedFetch({});
// @ts-expect-error: a wrong policy could weaken security
new TokenVerifier({ issuer: "https://authsec.example.com", audience: "crm", revocations: "fail_open" });
