/** What an agent asks for, and the token that it gets. The agent does not verify its own token; the API does. */

import { ConfigError, InvalidResponse } from "./errors.js";

const ACTION = /^[a-z0-9][a-z0-9._-]{0,62}:[a-z0-9][a-z0-9._-]{0,62}$/;
export const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const LONGEST_LIFE = 366 * 24 * 3600; // seconds

/**
 * A delegation token. `value` is the secret: neither `util.inspect` nor `JSON.stringify` nor `String` shows it.
 *
 * `expiresIn` is the token's life in seconds, from the moment of issue.
 */
export class DelegationToken {
  #value;

  constructor(value, { expiresIn, expiresAt, permissions }) {
    this.#value = value;
    Object.assign(this, { expiresIn, expiresAt, permissions: Object.freeze(permissions) });
    Object.freeze(this);
  }

  get value() {
    return this.#value;
  }

  toString() {
    return "[delegation token]";
  }
}

/** Read the 200 response of the token endpoint. Throws `InvalidResponse` for any other content. */
export function tokenFromAnswer(answer, now) {
  const { access_token: value, token_type: type, expires_in: expiresIn, scope = "" } = answer;
  if (typeof value !== "string" || !COMPACT_JWS.test(value)) throw notAToken("it has no signed token");
  if (String(type).toLowerCase() !== "bearer") throw notAToken("its token_type is not Bearer");
  if (!Number.isSafeInteger(expiresIn) || expiresIn <= 0 || expiresIn > LONGEST_LIFE) {
    throw notAToken("it does not say how long the token is valid");
  }
  if (typeof scope !== "string") throw notAToken("its scope is not a text");
  const expiresAt = new Date((now + expiresIn) * 1000);
  return new DelegationToken(value, { expiresIn, expiresAt, permissions: scope.split(" ").filter(Boolean) });
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
    throw new ConfigError('scope is empty. Name actions, as in scope: "customers:read", or leave scope out.', {
      reason: "invalid_scope",
    });
  }
  for (const action of actions) {
    if (!ACTION.test(action)) {
      throw new ConfigError(
        `${JSON.stringify(action.slice(0, 130))} is not an action. An action has the form resource:action in lower ` +
          'case, as in "customers:read"; wildcards are not supported.',
        { reason: "invalid_scope" },
      );
    }
  }
  return actions.join(" ");
}

function resourceOf(resource) {
  if (resource === undefined || resource === null) return [];
  const names = [...new Set([resource].flat())].sort();
  if (names.length === 0 || !names.every((name) => typeof name === "string" && /^[^\p{C}\p{Z}]+$/u.test(name))) {
    throw new ConfigError(
      'resource must name APIs by URL or registered name, as in resource: "https://crm.example.com"; leave resource ' +
        "out if the delegation has one audience.",
      { reason: "invalid_target" },
    );
  }
  return Object.freeze(names);
}

function notAToken(what) {
  return new InvalidResponse(
    `The authority's answer is not a delegation token: ${what}. The authority may have another version than this ` +
      "package, or a proxy may change its answers.",
    { reason: "invalid_response" },
  );
}
