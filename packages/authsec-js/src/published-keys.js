/**
 * The key set that an authority publishes.
 *
 * The set is fetched again when it is too old. If the authority is unreachable, its keys remain in use for a day.
 */

import { importJWK } from "jose";

import { moment, since } from "./clock.js";
import { addressOf, AnotherIssuer, DocumentRefused, getObject } from "./documents.js";
import { KeysUnavailable } from "./errors.js";

const FRESH_FOR = 300; // seconds without a fetch; up to twice as long, a fetch runs in the background
const KEEP_FOR = 86_400;
const UNKNOWN_KEY_PAUSE = 60; // seconds: senders of invented `kid`s cause one fetch in this time
const RETRY_PAUSE = 10;
const FIRST_PAUSE = 2; // the same without any key set yet

const BE_REACHABLE = "This API must be able to fetch the authority's key set. The authority's metadata names the URL.";
const CORRECT_ISSUER =
  "This API expects another issuer than the authority's metadata names. The API's operator must correct the issuer in the " +
  "API's settings.";

/** Return the keys of a JWK Set (RFC 7517 §5) that verify signatures, by `kid`. Each key has one algorithm: its `alg`. */
async function usableKeys(document) {
  const keys = new Map();
  for (const jwk of Array.isArray(document.keys) ? document.keys : []) {
    const { kid, alg, use = "sig" } = jwk ?? {};
    if (typeof kid !== "string" || typeof alg !== "string" || use !== "sig" || keys.has(kid)) continue;
    const key = await importJWK(jwk).catch(() => undefined); // `jose` obeys `key_ops`, and refuses small RSA keys
    if (key?.type === "public") keys.set(kid, { alg, key });
  }
  return keys;
}

/** The key set with the address `member` in the metadata of `issuer`. Single flight: one fetch at a time. */
export class PublishedKeys {
  #issuer;
  #member;
  #revokedKeys;
  #fetch;
  #clock;
  #warn;
  #snapshot;
  #failure;
  #isAnotherIssuer = false;
  #flight;
  #tries = 0;
  #tried;
  #looked;
  #revokedByThen = 0;

  /** If the number of revoked keys rises, one more fetch is permitted: the authority then signs with another key. */
  constructor(issuer, { fetch, clock, warn, member = "jwks_uri", revokedKeys = () => 0 }) {
    this.#issuer = issuer;
    this.#member = member;
    this.#revokedKeys = revokedKeys;
    this.#fetch = fetch;
    this.#clock = clock;
    this.#warn = warn;
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
    if (age >= FRESH_FOR && this.#mayTry()) {
      const flight = this.#refetch();
      if (!(age < KEEP_FOR && (age < 2 * FRESH_FOR || this.#failure !== undefined))) await flight;
    }
    if (this.#age() >= KEEP_FOR) throw this.#unavailable();
    return this.#snapshot.keys;
  }

  health() {
    const age = this.#age();
    return { age: age === Infinity ? undefined : age, failure: this.#failure };
  }

  #age() {
    return since(this.#snapshot?.fetched, this.#clock);
  }

  #pause() {
    return this.#snapshot === undefined ? FIRST_PAUSE : RETRY_PAUSE;
  }

  /** Whether the last fetch succeeded, or failed some time ago. */
  #mayTry() {
    return this.#failure === undefined || since(this.#tried, this.#clock) >= this.#pause();
  }

  /** Fetch again to find a newly published key, if the limit permits it. */
  async #lookAgain() {
    const revoked = this.#revokedKeys();
    const isRetry = this.#failure !== undefined && this.#mayTry();
    if (isRetry || since(this.#looked, this.#clock) >= UNKNOWN_KEY_PAUSE || revoked !== this.#revokedByThen) {
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
    try {
      const url = await addressOf(this.#fetch, this.#issuer, this.#member);
      const keys = await usableKeys(await getObject(this.#fetch, url));
      if (keys.size === 0) throw new DocumentRefused(`${url} has no usable key`); // it never replaces a usable set
      this.#snapshot = { keys, fetched: moment(this.#clock) };
      this.#failure = undefined;
      this.#isAnotherIssuer = false;
    } catch (error) {
      this.#isAnotherIssuer = error instanceof AnotherIssuer;
      const isKnown = error instanceof DocumentRefused;
      const failure = isKnown ? error.message : `reading the key set failed (${error?.constructor?.name})`;
      if (failure !== this.#failure) this.#warn(`the keys of ${this.#issuer} cannot be fetched: ${failure}`);
      this.#failure = failure;
    }
    this.#tried = moment(this.#clock);
    this.#tries += 1;
  }

  #unavailable() {
    return new KeysUnavailable("keys_unavailable", `The keys of ${this.#issuer} are not available: ${this.#failure}.`, {
      details: this.#isAnotherIssuer ? CORRECT_ISSUER : BE_REACHABLE,
      retryable: !this.#isAnotherIssuer,
      retryAfter: Math.max(1, Math.ceil(this.#pause() - since(this.#tried, this.#clock))),
    });
  }
}
