/** Addresses of servers: the authority's, the issuer's, and the origins of APIs. Errors quote no address with a password. */

import { ConfigError } from "./errors.js";

const CLIENT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PLAIN = /^[!#-;=?-[\]_a-z~]+$/; // ASCII without spaces and \ " < > ^ ` { | }

/** Return the variable's value without surrounding spaces; empty if the variable is not set. */
export function environment(name) {
  return (process.env[name] ?? "").trim();
}

/** Return the settings of one agent; the environment fills in what the program does not pass. Throws `ConfigError`. */
export function agentSettings({
  baseUrl = environment("AUTHSEC_BASE_URL"),
  clientId = environment("AUTHSEC_AGENT_CLIENT_ID"),
  issuer = environment("AUTHSEC_ISSUER") || undefined,
  proofAudience = environment("AUTHSEC_PROOF_AUDIENCE") || undefined,
  timeout = 10,
  refreshMargin = 300,
  allowHttpHosts = httpHosts(),
}) {
  if (!baseUrl) throw missing("baseUrl", "AUTHSEC_BASE_URL", "https://YOUR-AUTHORITY");
  if (!clientId) throw missing("clientId", "AUTHSEC_AGENT_CLIENT_ID", "YOUR-CLIENT-ID");
  checkAddress("baseUrl", baseUrl, allowHttpHosts);
  if (!CLIENT_ID.test(clientId)) {
    throw new ConfigError(
      "clientId must be the agent's id, a UUID in lower case. `authsec agents list` shows it, and so does the agent's page.",
      { reason: "client_id_invalid" },
    );
  }
  if (!(timeout > 0 && timeout <= 300)) throw invalid("timeout", "timeout must be between 0 and 300 seconds.");
  if (!(refreshMargin >= 0)) throw invalid("refreshMargin", "refreshMargin must not be negative.");
  const root = baseUrl.replace(/\/+$/, "");
  return Object.freeze({ root, clientId, issuer, proofAudience, timeout, refreshMargin, allowHttpHosts });
}

export function httpHosts() {
  return environment("AUTHSEC_ALLOW_HTTP_HOSTS").replaceAll(",", " ").split(" ").filter(Boolean);
}

/** Check that `text` is the address of a server: https, or http on loopback and for `allowHttpHosts`. */
export function checkAddress(name, text, allowHttpHosts) {
  const url = typeof text === "string" && PLAIN.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (!url?.hostname || !["http:", "https:"].includes(url.protocol)) {
    throw invalid(name, `${name} must be the address of a server, like https://authsec.example.com`);
  }
  if (/[@?#]/.test(text)) throw invalid(name, `${name} must not have a user name, "?" or "#".`);
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !allowHttpHosts.includes(url.hostname)) {
    // The attack: without TLS, somebody on the network reads tokens, or replaces keys.
    throw invalid(
      name,
      `${name} is plain http, so others on the network could read or change the messages. Use https, or, if the network ` +
        `to this host is trusted, set AUTHSEC_ALLOW_HTTP_HOSTS=${url.hostname}`,
    );
  }
  return url;
}

/** Return the origins that a program allows. Throws `ConfigError` for an empty list, a path or a wildcard. */
export function allowedOrigins(names, allowHttpHosts) {
  const origins = [names ?? []].flat().map((name) => {
    const url = checkAddress("An entry of allowedOrigins", name, allowHttpHosts);
    if (url.pathname !== "/" || name.includes("*")) {
      throw invalid("allowedOrigins", `allowedOrigins needs origins without a path. Did you mean ${url.origin}?`);
    }
    return url.origin;
  });
  if (origins.length === 0) {
    throw invalid(
      "allowedOrigins",
      'allowedOrigins is empty, so no API would ever get a token. Name the APIs, as in ["https://crm.example.com"].',
    );
  }
  return new Set(origins);
}

function isLoopback(host) {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

function missing(name, variable, example) {
  return new ConfigError(`${name} is not set. Pass it to AuthSecClient, or add:\n    export ${variable}="${example}"`, {
    reason: `${snake(name)}_missing`,
  });
}

function invalid(name, message) {
  return new ConfigError(message, { reason: `${snake(name.replace("An entry of ", ""))}_invalid` });
}

function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
