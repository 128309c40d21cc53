/** `TokenVerifier`: verifies the tokens of one authority for one API, and follows the authority's revocations. */

import { CLOCK, warn as warnOperator } from "./clock.js";
import {
  InsufficientScope,
  InvalidRequest,
  InvalidToken,
  RevocationsUnavailable,
  VerificationError,
} from "./errors.js";
import { FeedFollower } from "./feed-follower.js";
import { JwsRefused, parseJws, verifySignature } from "./jws.js";
import { PublishedKeys } from "./published-keys.js";
import { BoundTokenLog, FOR_ANOTHER_API, MismatchLog, OF_ANOTHER_AUTHORITY } from "./refusal-log.js";
import { Feed, isCount, subjectsOf } from "./revocations.js";
import { plain } from "./safe-text.js";
import { check, checkAddress, environment, httpHosts } from "./settings.js";
import { isObject } from "./strict-json.js";
import { ACTION } from "./tokens.js";

const ALGORITHMS = ["RS256", "ES256", "EdDSA"];
const API_CREDENTIAL = /^authsec_api_[A-Za-z0-9_-]{43}$/;
const MOST_BYTES = 16_384;
const YEAR_10000 = 253_402_300_800;
const HIGHEST_LEEWAY = 300;
const SHORTEST_STALE = 10; // seconds: the authority signs a head every five seconds
const RETRY_AFTER = 5;
const NO_BOUND_TOKENS = "This API accepts no tokens that are bound to a key (DPoP).";
const SEND_BEARER =
  "Send Authorization: Bearer <delegation token>, with a token that is not bound to a key. If this agent needs bound " +
  "tokens, ask the operator of this API.";
const NO_PROOFS =
  "authsec-js checks no DPoP proofs. To accept bound tokens, put authsec verify-server with --dpop-origin before this API.";

/** The calling agent, from a token that passed every check. The object does not contain the token. */
export class VerifiedToken {
  #issuer;
  #space;

  constructor(claims, space) {
    this.#issuer = claims.iss;
    this.#space = space;
    this.agent = claims.sub;
    this.clientId = claims.client_id;
    this.permissions = Object.freeze([...claims.permissions]);
    this.delegations = Object.freeze([...claims.delegation_ids]);
    this.roles = Object.freeze([...claims.roles]);
    const { method, selectors = [] } = claims.attestation;
    this.attestation = Object.freeze({ method, selectors });
    this.audience = Object.freeze([claims.aud].flat());
    this.jti = claims.jti;
    this.expiresAt = new Date(claims.exp * 1000);
    Object.freeze(this);
  }

  get issuer() {
    return this.#issuer;
  }

  /** Check that the token has all of `actions`. Throws `InsufficientScope`. */
  require(...actions) {
    checkActions(actions);
    if (!actions.every((action) => this.permissions.includes(action))) throw this.#insufficient(actions, false);
  }

  /** Check that the token has at least one of `actions`. Throws `InsufficientScope`. */
  requireAny(...actions) {
    checkActions(actions);
    if (!actions.some((action) => this.permissions.includes(action))) throw this.#insufficient(actions, true);
  }

  #insufficient(required, anyOf) {
    const lacking = required.filter((action) => !this.permissions.includes(action));
    const grantAt = this.#grantPage(anyOf ? lacking.slice(0, 1) : lacking);
    const granted = [...this.permissions].sort();
    const error = new InsufficientScope({ required, granted, anyOf, grantAt, audience: this.audience });
    return error.inSpace(this.#space);
  }

  /** Return the console page where a person grants the actions. The query fills in the form on the page. */
  #grantPage(actions) {
    const chosen = [
      ...(this.roles.length === 1 ? [["role", this.roles[0]]] : []),
      ...actions.map((action) => ["actions", action]),
      ...this.audience.map((name) => ["audiences", name]),
    ];
    const query = chosen.map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");
    const page = `${this.#issuer.replace(/\/$/, "")}/console/delegations/new?client=${encodeURIComponent(this.clientId)}`;
    return query.length <= 900 ? page + query : page;
  }
}

/**
 * Verifies delegation tokens for one API. Make one and share it; call `close` when the program ends.
 *
 * `issuer` is the authority's `iss`, exactly as in its tokens, and `audience` is this API's identifier. Both are required:
 * with a default, this API could accept a token for another API.
 *
 * From the first token on, the verifier follows the authority's feed of revocations. The feed is stale if it is silent for
 * `staleAfter` seconds. Then `revocations: "fail_closed"` accepts no token (503), and `"until_exp"` accepts tokens until
 * they expire. `resourceMetadata` is the URL of this API's metadata (RFC 9728), for challenges.
 */
export class TokenVerifier {
  #issuer;
  #audience;
  #space;
  #leeway;
  #algorithms;
  #oldest;
  #clock;
  #keys;
  #feed;
  #follower;
  #forAnotherApi;
  #ofAnotherAuthority;
  #ofBoundTokens;

  constructor({
    issuer,
    audience,
    leeway = 30,
    algorithms = ALGORITHMS,
    revocations = "fail_closed",
    staleAfter = 30,
    credential = environment("AUTHSEC_API_CREDENTIAL"),
    resourceMetadata,
    allowHttpHosts = httpHosts(),
    fetch = globalThis.fetch,
    clock = CLOCK,
    onWarning: warn = warnOperator,
    ...unknown
  } = {}) {
    refuseUnknown(Object.keys(unknown)[0]);
    const isNamed = (value) => typeof value === "string" && value.trim() !== "";
    check("issuer", isNamed(issuer), "TokenVerifier needs issuer: the authority's address, as its tokens name it");
    check("audience", isNamed(audience), "TokenVerifier needs audience: this API's identifier");
    const isOfTests = /(^|\.)invalid\.?$/.test(checkAddress("issuer", issuer, allowHttpHosts).hostname); // RFC 2606 §2
    check("issuer", !isOfTests, "issuer is the reserved name for tests. Give the issuer of your authority.");
    check("leeway", leeway >= 0 && leeway <= HIGHEST_LEEWAY, `leeway must be 0 to ${HIGHEST_LEEWAY} seconds`);
    const isList = Array.isArray(algorithms) && algorithms.length > 0;
    check("algorithms", isList, `algorithms must be a list of ${ALGORITHMS.join(", ")}`);
    const isPolicy = ["fail_closed", "until_exp"].includes(revocations);
    check("revocations", isPolicy, 'revocations must be "fail_closed" or "until_exp"');
    const isLong = staleAfter >= SHORTEST_STALE && staleAfter < Infinity;
    check("staleAfter", isLong, `staleAfter must be at least ${SHORTEST_STALE} seconds`);
    const isCredential = credential === undefined || API_CREDENTIAL.test(credential);
    check("credential", isCredential, "credential (or AUTHSEC_API_CREDENTIAL) is not an API's credential");
    const isUrl = resourceMetadata === undefined || /^https?:\/\/[\x21\x23-\x5b\x5d-\x7e]+$/.test(resourceMetadata);
    check("resourceMetadata", isUrl, "resourceMetadata must be the URL of this API's metadata (RFC 9728)");
    this.#issuer = issuer;
    this.#audience = audience;
    this.#space = { realm: audience, resourceMetadata };
    this.#leeway = leeway;
    this.#algorithms = ALGORITHMS.filter((each) => algorithms.includes(each));
    this.#oldest = revocations === "until_exp" ? Infinity : staleAfter;
    this.#clock = clock;
    const around = { fetch, clock, warn };
    this.#forAnotherApi = new MismatchLog(FOR_ANOTHER_API, around);
    this.#ofAnotherAuthority = new MismatchLog(OF_ANOTHER_AUTHORITY, around);
    this.#ofBoundTokens = new BoundTokenLog(audience, around);
    const feedKeys = new PublishedKeys(issuer, { ...around, member: "authsec_revocations_keys_uri" });
    this.#feed = new Feed(issuer, { ...around, keys: feedKeys });
    this.#keys = new PublishedKeys(issuer, { ...around, revokedKeys: () => this.#feed.revokedKeys });
    const headers = {
      ...(/^[\x21-\x7e]{1,255}$/.test(audience) ? { "authsec-audience": audience } : {}),
      ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
    };
    this.#follower = new FeedFollower(issuer, this.#feed, { ...around, headers });
  }

  get issuer() {
    return this.#issuer;
  }

  get audience() {
    return this.#audience;
  }

  /**
   * Verify the token of a request: `authorization` is the value of its header, or a list of all its values.
   *
   * Throws a `VerificationError`: `status` and `challenge` are the API's response.
   */
  async verifyHeader(authorization) {
    return this.#challenging(async () => {
      const { scheme, token } = sentToken([authorization ?? []].flat());
      const agent = await this.#verify(token);
      if (scheme === "dpop") throw this.#refusedBound(agent.clientId, agent.jti);
      return agent;
    });
  }

  /** Verify a token. Throws `InvalidToken` with the `reason` of the failed check, or `VerificationUnavailable`. */
  async verify(token) {
    return this.#challenging(() => this.#verify(token));
  }

  /** Let the challenge of each refusal name this API. */
  async #challenging(verify) {
    try {
      return await verify();
    } catch (error) {
      throw error instanceof VerificationError ? error.inSpace(this.#space) : error;
    }
  }

  async #verify(token) {
    const { claims, kid } = await this.#authenticate(token);
    await this.#follower.settle();
    // Read `age` before the revocations. So the revocations are at least as recent.
    const isCurrent = this.#feed.age <= this.#oldest;
    this.#checkValidity(claims, kid);
    if (!isCurrent) throw this.#unavailable();
    return new VerifiedToken(claims, this.#space);
  }

  /** Check that keys and revocations are fresh enough to accept a token, for example at startup. */
  async checkReady() {
    await this.#follower.settle();
    await this.#keys.current();
    if (this.#feed.age > this.#oldest) throw this.#unavailable();
  }

  /** Return the age of keys and revocations in seconds, and the last failures, for monitoring. */
  health() {
    const { age, sequence } = this.#feed;
    return {
      keys: this.#keys.health(),
      revocations: { age: age === Infinity ? undefined : age, sequence, failure: this.#follower.failure },
    };
  }

  /** Stop following the feed. Until then, its connection keeps the program running. */
  close() {
    this.#follower.close();
  }

  /** Return the verified claims, and the `kid` of the key that signed them. */
  async #authenticate(token) {
    try {
      const jws = parseJws(token, MOST_BYTES);
      const { alg, typ = "", kid } = jws.header;
      const isAllowed = this.#algorithms.includes(alg);
      this.#refuseUnless(isAllowed, "alg_not_allowed", "The token's signature algorithm is not allowed here.");
      // The attack: an ID token or a proof of the same authority is used as an access token (RFC 9068 §4).
      const isAccessToken = /^(application\/)?at\+jwt$/i.test(typ);
      this.#refuseUnless(isAccessToken, "typ_not_allowed", "The token is not an access token (its typ is not at+jwt).");
      this.#refuseUnless(kid, "kid_missing", "The token has no kid, which names the key that signed it.");
      // An unverified `iss` may only lead to a refusal: these keys cannot verify another authority's tokens.
      const { iss } = jws.claims;
      if (typeof iss === "string" && iss !== this.#issuer) this.#ofAnotherAuthority.note(this.#issuer, iss);
      if (typeof iss === "string") this.#checkIssuer(jws.claims);
      const key = await this.#keys.find(kid);
      this.#refuseUnless(key, "kid_unknown", "The token is signed with a key that the authority does not publish.");
      await verifySignature(jws, key, this.#algorithms);
      this.#checkClaims(jws.claims);
      return { claims: jws.claims, kid };
    } catch (error) {
      if (!(error instanceof JwsRefused)) throw error;
      throw this.#refused(error.reason, `${error.message[0].toUpperCase()}${error.message.slice(1)}.`);
    }
  }

  #checkIssuer(claims) {
    this.#refuseUnless(claims.iss === this.#issuer, "issuer_mismatch", "The token was issued by another authority.");
  }

  #checkClaims(claims) {
    for (const [name, fits, kind] of CLAIM_TYPES) {
      const problem = `The token's claim ${name} is missing or is not ${kind}.`;
      this.#refuseUnless(fits(claims[name]), "claim_invalid", problem);
    }
    this.#checkIssuer(claims);
    const audiences = [claims.aud].flat();
    const named = plain(audiences.join(", "), 200);
    const isForThis = audiences.includes(this.#audience);
    if (!isForThis) this.#forAnotherApi.note(this.#audience, named);
    const another = `Request a token for this API: resource=${this.#audience}. This one is for ${named}.`;
    this.#refuseUnless(isForThis, "audience_mismatch", "The token is meant for another API.", another);
    // The attack: a thief uses a token that only the holder of a key may use (RFC 7800 §3.1).
    if ("cnf" in claims) throw this.#refusedBound(claims.client_id, claims.jti);
    // One program may read `scope`, another `permissions`. Both must find the same actions.
    const scope = claims.scope === "" ? [] : claims.scope.split(" ");
    const isSame = scope.sort().join(" ") === [...claims.permissions].sort().join(" ");
    this.#refuseUnless(isSame, "scope_mismatch", "The token's scope and permissions name different actions.");
  }

  #checkValidity(claims, kid) {
    const now = this.#clock.wall();
    const anew = `Get a new delegation token from the authority ${this.#issuer}.`;
    this.#refuseUnless(now < claims.exp + this.#leeway, "token_expired", "The token has expired.", anew);
    if (Math.max(claims.nbf, claims.iat) > now + this.#leeway) {
      const details = "Wait, or synchronise the clocks of the authority and the API.";
      throw new InvalidToken("token_not_yet_valid", "The token is not valid yet.", { details, retryable: true });
    }
    const isRevoked = this.#feed.isRevoked(subjectsOf(claims, kid), claims.authority_version);
    const never = `This token will not be accepted again. ${anew}`;
    this.#refuseUnless(!isRevoked, "token_revoked", "The token has been revoked.", never);
  }

  #refuseUnless(holds, reason, message, details) {
    if (!holds) throw this.#refused(reason, message, details);
  }

  #refusedBound(clientId, jti) {
    const error = this.#refused("binding_not_supported", NO_BOUND_TOKENS, SEND_BEARER);
    this.#ofBoundTokens.note(error, clientId, jti, NO_PROOFS);
    return error;
  }

  #refused(reason, message, details = `Send an unchanged delegation token from the authority ${this.#issuer}.`) {
    return new InvalidToken(reason, message, { details });
  }

  #unavailable() {
    const { age } = this.#feed;
    const known = age === Infinity ? "were never known" : `were last known ${Math.round(age)} seconds ago`;
    const why = `no token can be accepted: ${this.#follower.failure ?? "the feed is silent"}.`;
    return new RevocationsUnavailable(
      "revocations_unavailable",
      `The revocations of ${this.#issuer} ${known}, so ${why}`,
      {
        details:
          "This API must be able to fetch the authority's feed of revocations. The authority's metadata names the URL.",
        retryAfter: RETRY_AFTER,
      },
    );
  }
}

const isText = (value) => typeof value === "string" && value !== "";
const isListOf = (fits) => (value) => Array.isArray(value) && value.every(fits);
const isSeconds = (value) => isCount(value) && value < YEAR_10000;

function isAttestation(value) {
  return (
    isObject(value) &&
    isText(value.method) &&
    isListOf(isText)(value.selectors ?? []) &&
    isText(value.proof ?? "-") &&
    isText(value.source ?? "-")
  );
}

const CLAIM_TYPES = [
  ["iss", isText, "a text"],
  ["aud", (value) => isText(value) || (isListOf(isText)(value) && value.length > 0), "a text or a list of texts"],
  ["exp", isSeconds, "a whole number of seconds"],
  ["nbf", isSeconds, "a whole number of seconds"],
  ["iat", isSeconds, "a whole number of seconds"],
  ["sub", (value) => isText(value) && value.startsWith("spiffe://"), "a SPIFFE ID"],
  ["client_id", isText, "a text"],
  ["jti", isText, "a text"],
  ["scope", (value) => typeof value === "string", "a text"],
  ["permissions", isListOf((value) => isText(value) && ACTION.test(value)), "a list of actions"],
  ["roles", isListOf(isText), "a list of texts"],
  // Not empty: the revocation of a delegation must revoke all tokens issued under the delegation.
  ["delegation_ids", (value) => isListOf(isText)(value) && value.length > 0, "a list of ids"],
  ["authority_version", isCount, "a whole number"],
  ["attestation", isAttestation, "an object with a method"],
];

/**
 * Return the token of a request and its scheme, "bearer" (RFC 6750 §2.1) or "dpop" (RFC 9449 §7.1).
 *
 * Tokens in the URL are never read: URLs are logged.
 */
function sentToken(values) {
  const several = new InvalidRequest("The request has several Authorization headers.");
  if (values.length > 1) throw several; // The API behind this check could read the other one.
  const [sent = "", token] = /^(\S+) *(.*?) *$/.exec(values[0] ?? "")?.slice(1) ?? [];
  const scheme = sent.toLowerCase();
  if (!["bearer", "dpop"].includes(scheme)) {
    if (/,\s*bearer\s/i.test(values[0] ?? "")) throw several;
    const details = "Send the header Authorization: Bearer <delegation token>.";
    throw new InvalidToken("token_missing", "This API needs a delegation token.", { details });
  }
  if (token === "") throw new InvalidRequest("The bearer token is empty.");
  if (/[ ,]/.test(token)) throw new InvalidRequest("The Authorization header must have exactly one bearer token.");
  return { scheme, token };
}

/** Refuse an option that a caller believes in: an ignored one could be meant to protect the API. */
function refuseUnknown(name) {
  if (name === undefined) return;
  const isOfProofs = name.toLowerCase().startsWith("dpop");
  const why = isOfProofs ? NO_PROOFS : "docs/javascript.md lists the options.";
  check(name, false, `TokenVerifier has no option ${JSON.stringify(name)}. ${why}`);
}

function checkActions(actions) {
  if (actions.length === 0) throw new TypeError("name at least one action"); // "all of no actions" is always true
  for (const action of actions) {
    if (!ACTION.test(action)) throw new TypeError(`${JSON.stringify(action)} is not an action, like "customers:read"`);
  }
}
