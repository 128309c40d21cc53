/** What an agent asks for, and the token that it gets. The agent does not verify its own token; the API does. */

import { decodeJwt } from "jose";

import { ConfigError, InvalidResponse } from "./errors.js";
import { recordIssued } from "./redaction.js";

export const ACTION = /^[a-z0-9][a-z0-9._-]{0,62}:[a-z0-9][a-z0-9._-]{0,62}$/;
export const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const LONGEST_LIFE = 366 * 24 * 3600; // seconds

/**
 * A delegation token. `value` is the secret: neither `util.inspect` nor `JSON.stringify` nor `String` shows it.
 *
 * `expiresIn` is the token's life in seconds, from the moment of issue. `tokenType` is the scheme of its header.
 */
export class DelegationToken {
  #value;

  constructor(value, { tokenType, expiresIn, expiresAt, permissions }) {
    this.#value = value;
    Object.freeze(Object.assign(this, { tokenType, expiresIn, expiresAt, permissions: Object.freeze(permissions) }));
  }

  get value() {
    return this.#value;
  }

  toString() {
    return "[delegation token]";
  }
}

/** Read the 200 response of the token endpoint. Throws `InvalidResponse` for any other content. */
export function tokenFromAnswer(answer, now, thumbprint) {
  const { access_token: value, token_type: type, expires_in: expiresIn, scope = "" } = answer;
  const tokenType = thumbprint === undefined ? "Bearer" : "DPoP";
  if (typeof value !== "string" || !COMPACT_JWS.test(value)) throw notAToken("it has no signed token");
  if (String(type).toLowerCase() !== tokenType.toLowerCase()) throw notAToken(`its token_type is not ${tokenType}`);
  if (thumbprint !== undefined && boundTo(value) !== thumbprint) throw notAToken("its token is not bound to this key");
  if (!Number.isSafeInteger(expiresIn) || expiresIn <= 0 || expiresIn > LONGEST_LIFE) {
    throw notAToken("it does not say how long the token is valid");
  }
  if (typeof scope !== "string") throw notAToken("its scope is not a text");
  recordIssued(value, expiresIn);
  const expiresAt = new Date((now + expiresIn) * 1000);
  return new DelegationToken(value, { tokenType, expiresIn, expiresAt, permissions: scope.split(" ").filter(Boolean) });
}

/** The thumbprint in the claim `cnf` (RFC 9449 §6.1), which nobody has verified here. */
function boundTo(token) {
  try {
    return decodeJwt(token).cnf?.jkt;
  } catch {
    return undefined;
  }
}

/**
 * Return the wanted actions (`scope`) and APIs (`resource`, RFC 8707). Order and repetition do not matter.
 *
 * Throws `ConfigError` for actions or APIs that can never be granted.
 */
export function tokenRequest(scope, resource) {
  return Object.freeze({ scope: scopeOf(scope), resource: resourceOf(resource) });
}

function scopeOf(scope) {
  if (scope === undefined || scope === null) return undefined;
  const actions = [...new Set([scope].flat().flatMap((text) => String(text).split(" ")))].filter(Boolean).sort();
  if (actions.length === 0) {
    throw new ConfigError("invalid_scope", 'scope is empty. Name actions, as in "customers:read", or leave scope out.');
  }
  const wrong = actions.find((action) => !ACTION.test(action));
  if (wrong !== undefined) {
    const rule = 'An action has the form resource:action in lower case, as in "customers:read", without wildcards.';
    throw new ConfigError("invalid_scope", `${JSON.stringify(wrong.slice(0, 130))} is not an action. ${rule}`);
  }
  return actions.join(" ");
}

function resourceOf(resource) {
  if (resource === undefined || resource === null) return [];
  const names = [...new Set([resource].flat())].sort();
  if (names.length === 0 || !names.every((name) => typeof name === "string" && /^[^\p{C}\p{Z}]+$/u.test(name))) {
    const rule = 'resource must name APIs by URL or registered name, as in resource: "https://crm.example.com".';
    throw new ConfigError("invalid_target", `${rule} Leave resource out if the delegation has one audience.`);
  }
  return Object.freeze(names);
}

function notAToken(what) {
  const cause = "The authority may have another version than this package, or a proxy may change its answers.";
  return new InvalidResponse("invalid_response", `The authority's answer is not a delegation token: ${what}. ${cause}`);
}
