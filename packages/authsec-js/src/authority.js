/** The authority's endpoints, as one agent uses them: metadata, token, revocation. Only the issuer is cached here. */

import { setTimeout as sleep } from "node:timers/promises";

import { AuthenticationError, ConfigError, InvalidResponse, ServerError, TransportError } from "./errors.js";
import { exchange } from "./http.js";
import { jsonObject, notAnAuthority, refusal } from "./refusals.js";
import { tokenFromAnswer } from "./tokens.js";

const PATH = "/oauth/token";
const PAUSES = [0.1, 0.4]; // seconds before a second and a third try
const LONGEST_PAUSE = 2; // seconds: after a longer Retry-After, the call fails without a retry
const CLOCK_TOLERANCE = 30; // seconds by which an agent's clock may differ from the authority's
const ISSUER = /^https?:\/\/[A-Za-z0-9._:[\]-]{1,300}(\/[A-Za-z0-9._~%:+=,/-]*)?$/;
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/; // RFC 9449 §8.1

export class Authority {
  #settings;
  #sources;
  #key;
  #fetch;
  #clock;
  #issuer;
  #nonce;

  /** With a `key`, tokens are bound to it (RFC 9449). */
  constructor(settings, sources, { key, fetch, clock }) {
    this.#settings = settings;
    this.#sources = sources;
    this.#key = key;
    this.#fetch = fetch;
    this.#clock = clock;
    this.#issuer = settings.issuer;
  }

  /** Request a token within the configured timeout; retry twice after a failure that may be temporary. */
  async requestToken(wanted) {
    const deadline = this.#clock.monotonic() + this.#settings.timeout;
    for (const pause of PAUSES) {
      try {
        return await this.#ask(wanted, deadline);
      } catch (error) {
        // Wait up to 50 % longer, so that not all agents retry at the same time.
        const wait = waitBeforeRetry(error, pause) * (1 + Math.random() / 2);
        if (!(this.#clock.monotonic() + wait < deadline)) throw error;
        await sleep(wait * 1000);
      }
    }
    return this.#ask(wanted, deadline);
  }

  /** Revoke this token (RFC 7009). An expired token is no error. */
  async revoke(token) {
    const answer = await this.#post("/authsec/v1/revoke", new URLSearchParams({ token }), this.#settings.timeout);
    if (answer.status !== 200) {
      const error = refusal(answer, this.#clock.wall());
      throw error instanceof ServerError || error.retryable ? error : notAnAuthority(answer);
    }
  }

  /** Send one token request; once more if the authority wants its nonce in the proof of the key (RFC 9449 §8). */
  async #ask(wanted, deadline) {
    let { answer, proof } = await this.#askOnce(wanted, deadline);
    if (answer.status === 400 && answer.headers.has("dpop-nonce") && jsonObject(answer).error === "use_dpop_nonce") {
      ({ answer, proof } = await this.#askOnce(wanted, deadline));
    }
    const now = this.#clock.wall();
    if (answer.status === 200) return tokenFromAnswer(jsonObject(answer), now, await this.#key?.thumbprint());
    const error = refusal(answer, now, { namesApi: wanted.resource.length > 0 });
    if (error instanceof AuthenticationError) this.#issuer = this.#settings.issuer; // it may have changed
    throw error.with(this.#hints(error, proof, answer).join(" "));
  }

  /** Send a token request with fresh proofs: the authority accepts each of them once. */
  async #askOnce(wanted, deadline) {
    const proof = await this.#proof(deadline);
    const form = new URLSearchParams({ grant_type: "client_credentials", ...proof.form });
    if (wanted.scope !== undefined) form.set("scope", wanted.scope);
    for (const name of wanted.resource) form.append("resource", name);
    const headers = {};
    if (this.#key !== undefined) {
      // The authority compares `htu` with the token endpoint of its metadata, whichever address the request took.
      const url = (await this.#readIssuer(deadline)).replace(/\/$/, "") + PATH;
      headers.dpop = await this.#key.proof("POST", url, { nonce: this.#nonce });
    }
    const answer = await this.#post(PATH, form, deadline - this.#clock.monotonic(), headers);
    const nonce = answer.headers.get("dpop-nonce");
    if (nonce !== null && NONCE.test(nonce)) this.#nonce = nonce;
    return { answer, proof };
  }

  #post(path, form, seconds, headers) {
    const sent = { "content-type": "application/x-www-form-urlencoded", ...headers };
    const request = { seconds, method: "POST", headers: sent, body: form.toString() };
    return exchange(this.#fetch, this.#settings.root + path, request);
  }

  async #proof(deadline) {
    const issuer = () => this.#readIssuer(deadline);
    const { clientId, proofAudience } = this.#settings;
    const request = { clientId, issuer, audience: async () => proofAudience ?? issuer(), now: this.#clock.wall() };
    for (const source of this.#sources) {
      const proof = await source.proof(request);
      if (proof !== undefined) return proof;
    }
    throw new ConfigError(
      "credential_missing",
      "This machine has no proof of the agent's identity. Set AUTHSEC_AGENT_KEY_FILE to the file of the agent's registered " +
        `key. In a cluster, mount the volume on its Connect tab. The SDK looked for: ${this.#sources.map((each) => each.lookedAt()).join("; ")}.`,
    );
  }

  /** Return the configured issuer, or the issuer in the metadata (RFC 8414). It is the audience of the agent's proofs. */
  async #readIssuer(deadline) {
    if (this.#issuer === undefined) {
      const url = `${this.#settings.root}/authsec/.well-known/oauth-authorization-server`;
      const answer = await exchange(this.#fetch, url, { seconds: deadline - this.#clock.monotonic() });
      if (answer.status !== 200)
        throw answer.status >= 500 ? refusal(answer, this.#clock.wall()) : notAnAuthority(answer);
      const { issuer } = jsonObject(answer);
      if (typeof issuer !== "string" || !ISSUER.test(issuer)) {
        throw new InvalidResponse("invalid_response", "The authority's metadata has no valid issuer.", { status: 200 });
      }
      this.#issuer = issuer;
    }
    return this.#issuer;
  }

  /** Say whether a retry can help: a model may read only this text, and could otherwise retry forever. */
  #hints(error, proof, answer) {
    const hints = [];
    if (error instanceof AuthenticationError || error.reason === "invalid_dpop_proof") {
      const ahead = Math.abs(this.#clock.wall() - Date.parse(answer.headers.get("date")) / 1000);
      if (ahead > CLOCK_TOLERANCE) {
        hints.push(
          `This machine's clock differs from the authority's clock by ${Math.round(ahead)} s: synchronise it.`,
        );
      }
      else hints.push(`The proof came from: ${proof.source}.`, proof.ifRefused);
    }
    if (error.reason === "proof_not_accepted" && jsonObject(answer).error === "invalid_dpop_proof")
      hints.push("Set AUTHSEC_DPOP=1, or pass dpop: true to AuthSecClient.");
    if (!error.retryable) hints.push("Retrying will not help.");
    else hints.push(error.retryAfter ? `Retrying may help in ${Math.ceil(error.retryAfter)} s.` : "Retrying may help.");
    return hints;
  }
}

/** Return the seconds before a retry, or NaN if the request must not be repeated. */
function waitBeforeRetry(error, pause) {
  if (error instanceof TransportError) return ["unreachable", "connection_lost"].includes(error.reason) ? pause : NaN;
  const isShort = error instanceof ServerError && error.status === 503 && error.retryAfter <= LONGEST_PAUSE;
  return isShort ? Math.max(error.retryAfter, pause) : NaN;
}
