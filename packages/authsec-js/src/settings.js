/** Addresses of servers: the authority's, the issuer's, and the origins of APIs. Errors quote no address with a password. */

import { ConfigError } from "./errors.js";

const CLIENT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PLAIN = /^[!#-;=?-[\]_a-z~]+$/; // ASCII without spaces and \ " < > ^ ` { | }
const LOOPBACK = /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/;

/** Return the variable's value without surrounding spaces; undefined if the variable is empty or not set. */
export function environment(name) {
  return process.env[name]?.trim() || undefined;
}

/** Return the settings of one agent; the environment fills in what the program does not pass. Throws `ConfigError`. */
export function agentSettings({
  baseUrl = environment("AUTHSEC_BASE_URL"),
  clientId = environment("AUTHSEC_AGENT_CLIENT_ID"),
  issuer = environment("AUTHSEC_ISSUER"),
  proofAudience = environment("AUTHSEC_PROOF_AUDIENCE"),
  dpop = dpopInEnvironment(),
  timeout = 10,
  refreshMargin = 300,
  allowHttpHosts = httpHosts(),
}) {
  if (!baseUrl) throw missing("baseUrl", "AUTHSEC_BASE_URL", "https://YOUR-AUTHORITY");
  if (!clientId) throw missing("clientId", "AUTHSEC_AGENT_CLIENT_ID", "YOUR-CLIENT-ID");
  checkAddress("baseUrl", baseUrl, allowHttpHosts);
  const rule = "clientId must be the agent's id, a UUID in lower case. `authsec agents list` shows it.";
  check("clientId", CLIENT_ID.test(clientId), rule);
  check("timeout", timeout > 0 && timeout <= 300, "timeout must be between 0 and 300 seconds.");
  check("refreshMargin", refreshMargin >= 0, "refreshMargin must not be negative.");
  const root = baseUrl.replace(/\/+$/, "");
  return Object.freeze({ root, clientId, issuer, proofAudience, dpop, timeout, refreshMargin, allowHttpHosts });
}

/** Any other text than 1 or 0 is refused: it could mean that tokens must be bound. */
function dpopInEnvironment() {
  const value = environment("AUTHSEC_DPOP") ?? "0";
  check("dpop", ["0", "1"].includes(value), "AUTHSEC_DPOP must be 1, or 0 or empty.");
  return value === "1";
}

export function httpHosts() {
  return (environment("AUTHSEC_ALLOW_HTTP_HOSTS") ?? "").split(/[, ]+/).filter(Boolean);
}

/** Check that `text` is the address of a server: https, or http on loopback and for `allowHttpHosts`. */
export function checkAddress(name, text, allowHttpHosts) {
  const url = typeof text === "string" && PLAIN.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  const isServer = url?.hostname && ["http:", "https:"].includes(url.protocol);
  check(name, isServer, `${name} must be the address of a server, like https://authsec.example.com`);
  check(name, !/[@?#]/.test(text), `${name} must not have a user name, "?" or "#".`);
  // The attack: without TLS, somebody on the network reads tokens, or replaces keys.
  check(
    name,
    url.protocol === "https:" || LOOPBACK.test(url.hostname) || allowHttpHosts.includes(url.hostname),
    `${name} is plain http, so others on the network could read or change the messages. Use https, or, if the network ` +
      `to this host is trusted, set AUTHSEC_ALLOW_HTTP_HOSTS=${url.hostname}`,
  );
  return url;
}

/** Return the origins that a program allows. Throws `ConfigError` for an empty list, a path or a wildcard. */
export function originsIn(names, allowHttpHosts) {
  const origins = [names ?? []].flat().map((name) => {
    const url = checkAddress("allowedOrigins", name, allowHttpHosts);
    const isOrigin = url.pathname === "/" && !name.includes("*");
    check("allowedOrigins", isOrigin, `allowedOrigins needs origins without a path. Did you mean ${url.origin}?`);
    return url.origin;
  });
  const rule =
    'allowedOrigins is empty, so no API would ever get a token. Name the APIs, as in ["https://crm.example.com"].';
  check("allowedOrigins", origins.length > 0, rule);
  return new Set(origins);
}

/** Throw `ConfigError` for the setting `name` unless the condition holds. */
export function check(name, holds, message) {
  if (!holds) throw new ConfigError(`${snake(name)}_invalid`, message);
}

function missing(name, variable, example) {
  const how = `Pass it to AuthSecClient, or add:\n    export ${variable}="${example}"`;
  return new ConfigError(`${snake(name)}_missing`, `${name} is not set. ${how}`);
}

function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
