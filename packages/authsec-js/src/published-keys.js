/**
 * The key set that an authority publishes. The authority's metadata (RFC 8414) contains its address.
 *
 * The set is fetched again when it is too old. If the authority is unreachable, its keys remain in use for a day.
 */

import { importJWK } from "jose";

import { moment, since } from "./clock.js";
import { KeysUnavailable } from "./errors.js";
import { exchange } from "./http.js";
import { plain } from "./safe-text.js";
import { isObject, parseObject, StrictJsonError } from "./strict-json.js";

const FRESH_FOR = 300; // seconds without a fetch; up to twice as long, a fetch runs in the background
const KEEP_FOR = 86_400;
const UNKNOWN_KEY_PAUSE = 60; // seconds: senders of invented `kid`s cause one fetch in this time
const RETRY_PAUSE = 10;
const FIRST_PAUSE = 2; // the same without any key set yet
const MOST_SECONDS = 5;
const PRIVATE = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const MEMBERS = { RSA: ["n", "e"], EC: ["crv", "x", "y"], OKP: ["crv", "x"] };

/** A document cannot be fetched, or is not valid. The text is safe to show. */
export class DocumentRefused extends Error {
  constructor(message, { isBusy = false, isPermanent = false } = {}) {
    super(message);
    Object.assign(this, { isBusy, isPermanent });
  }
}

/** Fetch JSON documents of one authority. Throws `DocumentRefused`. */
export function documents(fetch) {
  async function get(url, { headers, mostBytes } = {}) {
    let answer;
    try {
      answer = await exchange(fetch, url, { seconds: MOST_SECONDS, mostBytes, headers });
    } catch (error) {
      throw new DocumentRefused(`${url} cannot be fetched: ${error.message}`);
    }
    if (answer.status >= 300 && answer.status < 400)
      throw new DocumentRefused(`${url} redirected, and redirects are not followed`);
    if (answer.status !== 200)
      throw new DocumentRefused(`${url} answered ${answer.status}`, { isBusy: answer.status === 503 });
    const type = (answer.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
    if (!/^application\/(json|.+\+json)$/.test(type)) throw new DocumentRefused(`${url} is not served as JSON`);
    return answer.body;
  }

  async function getObject(url) {
    const body = await get(url);
    try {
      return parseObject(body, { maxBytes: body.length });
    } catch (error) {
      if (error instanceof StrictJsonError) throw new DocumentRefused(`${url} is not strict JSON: ${error.message}`);
      throw error;
    }
  }

  /** Return the address in the member `member` of the issuer's metadata. */
  async function address(issuer, member) {
    const metadata = await getObject(`${issuer.replace(/\/+$/, "")}/.well-known/oauth-authorization-server`);
    if (metadata.issuer !== issuer) {
      // RFC 8414 §3.3: one authority must not pose as another.
      throw new DocumentRefused(
        `the authority's metadata names the issuer ${plain(String(metadata.issuer), 100)} instead of ${issuer}`,
        {
          isPermanent: true,
        },
      );
    }
    const found = metadata[member];
    const origin = `${new URL(issuer).origin}/`;
    // The attack: somebody who controls another host publishes keys there.
    if (typeof found !== "string" || !found.startsWith(origin) || !/^[\x21-\x7e]{1,2048}$/.test(found)) {
      throw new DocumentRefused(`the ${member} in the authority's metadata does not begin with ${origin}`);
    }
    return found;
  }

  return { get, getObject, address };
}

/** Return the keys of a JWK Set (RFC 7517 §5) that verify signatures, by `kid`. Each key has one algorithm: its `alg`. */
export async function usableKeys(document) {
  const keys = new Map();
  for (const jwk of Array.isArray(document.keys) ? document.keys : []) {
    if (typeof jwk?.kid === "string" && !keys.has(jwk.kid)) {
      const key = await usableKey(jwk);
      if (key !== undefined) keys.set(jwk.kid, Object.freeze({ kid: jwk.kid, alg: jwk.alg, key }));
    }
  }
  return keys;
}

async function usableKey(jwk) {
  const { kty, alg, use = "sig", key_ops: operations = ["verify"] } = jwk;
  const mayVerify = use === "sig" && Array.isArray(operations) && operations.includes("verify");
  if (!mayVerify || typeof alg !== "string" || !Object.hasOwn(MEMBERS, kty) || PRIVATE.some((name) => name in jwk))
    return undefined;
  try {
    const members = Object.fromEntries(MEMBERS[kty].map((name) => [name, jwk[name]]));
    const key = await importJWK({ kty, ...members }, alg);
    return kty === "RSA" && !isStrong(key.algorithm) ? undefined : key;
  } catch {
    return undefined;
  }
}

/** FIPS 186-5 §A.1.1: with small exponents, signatures could be forged. Huge keys would cost much time. */
function isStrong({ modulusLength, publicExponent }) {
  const exponent = publicExponent.reduce((number, octet) => number * 256 + octet, 0);
  return modulusLength >= 2048 && modulusLength <= 8192 && exponent >= 65_537;
}

/** The key set with the address `member` in the metadata of `issuer`. Single flight: one fetch at a time. */
export class PublishedKeys {
  /** The number of revoked keys. If it rises, one more fetch is permitted: the authority then signs with another key. */
  revokedKeys = () => 0;

  #issuer;
  #documents;
  #clock;
  #warn;
  #member;
  #snapshot;
  #failure;
  #isPermanent = false;
  #flight;
  #tries = 0;
  #tried;
  #pause = RETRY_PAUSE;
  #looked;
  #revokedByThen = 0;

  constructor(issuer, { documents, clock, warn, member = "jwks_uri" }) {
    this.#issuer = issuer;
    this.#documents = documents;
    this.#clock = clock;
    this.#warn = warn;
    this.#member = member;
  }

  /** Return the key, or undefined if the authority does not publish this `kid`. Throws `KeysUnavailable`. */
  async find(kid) {
    const tries = this.#tries;
    const key = (await this.current()).get(kid);
    if (key !== undefined) return key;
    if (this.#tries === tries) await this.#lookAgain();
    const found = this.#snapshot?.keys.get(kid);
    // The answer cannot be "no such key", because the fetch failed.
    if (found === undefined && this.#failure !== undefined) throw this.#unavailable();
    return found;
  }

  /** Return the current keys; fetch them if they are too old. Throws `KeysUnavailable`. */
  async current() {
    const age = this.#age();
    const isPausing = this.#failure !== undefined && since(this.#tried, this.#clock) < this.#pause;
    if (age >= FRESH_FOR && !isPausing) {
      const flight = this.#refetch();
      if (!(age < KEEP_FOR && (age < 2 * FRESH_FOR || this.#failure !== undefined))) await flight;
    }
    if (this.#snapshot === undefined || this.#age() >= KEEP_FOR) throw this.#unavailable();
    return this.#snapshot.keys;
  }

  health() {
    const age = this.#age();
    return { age: age === Infinity ? undefined : age, failure: this.#failure };
  }

  #age() {
    return since(this.#snapshot?.fetched, this.#clock);
  }

  /** Fetch again to find a newly published key, if the limit permits it. */
  async #lookAgain() {
    const revoked = this.revokedKeys();
    const hasFailed = this.#failure !== undefined && since(this.#tried, this.#clock) >= this.#pause;
    if (hasFailed || since(this.#looked, this.#clock) >= UNKNOWN_KEY_PAUSE || revoked !== this.#revokedByThen) {
      this.#looked = moment(this.#clock);
      this.#revokedByThen = revoked;
      await this.#refetch();
    } else {
      await this.#flight;
    }
  }

  #refetch() {
    this.#flight ??= this.#try().finally(() => {
      this.#flight = undefined;
    });
    return this.#flight;
  }

  /** Fetch the set once. After a failure, the old set and its age stay as they are. */
  async #try() {
    const began = moment(this.#clock);
    try {
      const url = await this.#documents.address(this.#issuer, this.#member);
      const keys = await usableKeys(await this.#documents.getObject(url));
      if (keys.size === 0) throw new DocumentRefused(`${url} has no usable key`); // it never replaces a usable set
      this.#snapshot = { keys, fetched: moment(this.#clock) };
      this.#failure = undefined;
    } catch (error) {
      const failure =
        error instanceof DocumentRefused ? error.message : `reading the key set failed (${error?.constructor?.name})`;
      if (failure !== this.#failure) this.#warn(`the keys of ${this.#issuer} cannot be fetched: ${failure}`);
      this.#failure = failure;
      this.#isPermanent = error.isPermanent === true;
    } finally {
      this.#tried = moment(this.#clock);
      this.#tries += 1;
      const slow = Math.max(FIRST_PAUSE, 2 * since(began, this.#clock));
      this.#pause = this.#snapshot === undefined ? Math.min(slow, RETRY_PAUSE) : RETRY_PAUSE;
    }
  }

  #unavailable() {
    return new KeysUnavailable(`The keys of ${this.#issuer} are not available: ${this.#failure}.`, {
      reason: "keys_unavailable",
      details: this.#isPermanent
        ? "This API expects another issuer than the authority's metadata names. The API's operator must correct the issuer."
        : "This API must be able to fetch the authority's key set. The authority's metadata names the URL.",
      retryAfter: Math.max(1, Math.ceil(this.#pause - since(this.#tried, this.#clock))),
      retryable: !this.#isPermanent,
    });
  }
}
