/**
 * The token cache of one client. For each scope and resource, at most one request is in flight.
 *
 * The cache returns its token without a request until the token is close to its expiry. Then the next call renews it in
 * the background. If the authority fails, the cache still returns the token until its expiry. A refusal means that the
 * delegation was revoked, so the cache drops the token.
 */

import { moment } from "./clock.js";
import { AuthenticationError, AuthSecError, DelegationDenied, TransportError } from "./errors.js";

const MOST_ENTRIES = 128;
const FRESH_REFUSAL = 30; // seconds: an older refusal of a background renewal is dropped
const FIRST_BACKOFF = 1;
const LONGEST_BACKOFF = 60;

export class TokenCache {
  #request;
  #clock;
  #margin;
  #patience;
  #warn;
  #entries = new Map();

  /** `request` gets a token. The calls wait for it for `patience` seconds at most. */
  constructor(request, { clock, margin, patience, warn }) {
    this.#request = request;
    this.#clock = clock;
    this.#margin = margin;
    this.#patience = patience;
    this.#warn = warn;
  }

  async get(wanted, forceRefresh) {
    const entry = this.#entry(wanted);
    const { refusal } = entry;
    entry.refusal = undefined;
    if (refusal !== undefined && this.#clock.monotonic() < refusal.until) throw refusal.error;
    const { held } = entry;
    const left = held === undefined ? 0 : this.#left(held);
    if (left <= 0 || forceRefresh) return this.#join(entry);
    if (left <= Math.min(this.#margin, held.token.expiresIn / 2)) this.#renew(entry);
    return held.token;
  }

  /** Drop the token with this value. If the cache has a newer token instead, the newer token stays. */
  invalidate(value) {
    for (const entry of this.#entries.values()) {
      if (entry.held?.token.value === value) entry.held = undefined;
    }
  }

  /** The seconds until the expiry, on the clock that is further ahead: the wall clock runs while the machine sleeps. */
  #left({ ends }) {
    return Math.min(ends.monotonic - this.#clock.monotonic(), ends.wall - this.#clock.wall());
  }

  #entry(wanted) {
    const key = JSON.stringify(wanted);
    const entry = this.#entries.get(key) ?? { wanted, failures: 0, renewNotBefore: 0 };
    this.#entries.delete(key); // the most recently used entry comes last
    this.#entries.set(key, entry);
    if (this.#entries.size > MOST_ENTRIES) {
      const idle = [...this.#entries].find(([name, each]) => name !== key && each.flight === undefined);
      if (idle !== undefined) this.#entries.delete(idle[0]);
    }
    return entry;
  }

  #renew(entry) {
    if (entry.flight !== undefined || this.#clock.monotonic() < entry.renewNotBefore) return;
    this.#start(entry).catch((error) => {
      // The client itself reports an error of the setup.
      if (entry.joined || error.isOfTheSetup) return;
      this.#warn(`renewing the delegation token failed (${error.reason}): ${error.message}`);
    });
  }

  #join(entry) {
    if (entry.flight === undefined) {
      const wait = (entry.pause?.until ?? 0) - this.#clock.monotonic();
      if (wait > 0) throw Object.assign(entry.pause.error, { retryAfter: wait });
      this.#start(entry);
    }
    entry.joined = true;
    return entry.flight;
  }

  #start(entry) {
    entry.joined = false;
    const began = moment(this.#clock); // The token expires here no later than at the authority.
    entry.flight = withPatience(this.#request(entry.wanted), this.#patience)
      .then((token) => {
        const { expiresIn } = token;
        entry.held = { token, ends: { monotonic: began.monotonic + expiresIn, wall: began.wall + expiresIn } };
        Object.assign(entry, { failures: 0, renewNotBefore: 0, pause: undefined });
        return token;
      })
      .catch((error) => {
        const known = error instanceof AuthSecError ? error : unexpected(error);
        this.#fail(entry, known);
        throw known;
      })
      .finally(() => {
        entry.flight = undefined;
      });
    return entry.flight;
  }

  #fail(entry, error) {
    const now = this.#clock.monotonic();
    if (error instanceof AuthenticationError || error instanceof DelegationDenied) {
      entry.held = undefined;
      if (!entry.joined) entry.refusal = { error, until: now + FRESH_REFUSAL };
      return;
    }
    const backoff = Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** Math.min(entry.failures, 10));
    entry.failures += 1;
    const pause = Math.min(error.retryAfter ?? 0, LONGEST_BACKOFF);
    if (pause > 0) entry.pause = { error, until: now + pause };
    entry.renewNotBefore = now + Math.max(backoff, pause);
  }
}

/** Limit the wait for a promise: a credential source of the program may never answer. */
async function withPatience(promise, seconds) {
  let timer;
  const tooSlow = new Promise((_, reject) => {
    const error = new TransportError("timeout", "The authority did not answer in time.", { retryable: true });
    timer = setTimeout(reject, seconds * 1000, error);
  });
  return Promise.race([promise, tooSlow]).finally(() => clearTimeout(timer));
}

/** The error of the program's own credential source or `fetch`: its text may contain secrets. */
function unexpected(error) {
  const kind = error?.constructor?.name ?? "unknown";
  return new AuthSecError("internal_error", `Requesting a token failed inside the program (${kind}).`);
}
