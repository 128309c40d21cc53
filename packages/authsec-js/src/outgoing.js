/** A request to an API with a token, and the effect of a 401. */

const PROBATION = 30; // seconds: while an API refuses new tokens too, at most one new token in this time
const MOST_MENTIONED = 64;

export class Bearer {
  #token;
  #invalidate;
  #origins;
  #fetch;
  #clock;
  #warn;
  #dropped = new Map();
  #mentioned = new Set();

  constructor({ token, invalidate, origins, fetch, clock, warn }) {
    this.#token = token;
    this.#invalidate = invalidate;
    this.#origins = origins;
    this.#fetch = fetch;
    this.#clock = clock;
    this.#warn = warn;
  }

  async fetch(input, init) {
    const origin = new URL(input instanceof Request ? input.url : input).origin;
    if (!this.#allows(origin)) return this.#fetch(input, init);
    const token = await this.#token();
    const response = await this.#send(input, init, token);
    if (!this.#needsNewToken(response, origin, token) || !canBeSentAgain(input, init)) return response;
    await response.body?.cancel();
    const next = await this.#token();
    const answer = await this.#send(input, init, next);
    this.#needsNewToken(answer, origin, next);
    return answer;
  }

  #send(input, init, token) {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    headers.set("authorization", `Bearer ${token.value}`);
    return this.#fetch(input, { ...init, headers });
  }

  /** Each origin that gets no token is named once. Otherwise nobody could see why the API at this origin answers 401. */
  #allows(origin) {
    if (this.#origins.has(origin)) return true;
    if (!this.#mentioned.has(origin) && this.#mentioned.size < MOST_MENTIONED) {
      this.#mentioned.add(origin);
      this.#warn(`no token is sent to ${origin}: allowedOrigins has ${[...this.#origins].sort().join(", ")}`);
    }
    return false;
  }

  /**
   * Record an API's response to `token`; return whether a retry with another token may succeed.
   *
   * If the API refuses the new token too, the agent requests at most one token in 30 seconds: such an API refuses every
   * token, or has not yet fetched a new key.
   */
  #needsNewToken(response, origin, token) {
    // `fetch` drops the token at a redirect to another origin, so that server's 401 says nothing about the token.
    if (response.redirected && new URL(response.url).origin !== origin) return false;
    if (response.status !== 401) {
      this.#dropped.delete(origin);
      return false;
    }
    const now = this.#clock.monotonic();
    const earlier = this.#dropped.get(origin) ?? { token, until: 0 };
    if (earlier.token !== token && now < earlier.until) return false;
    if (earlier.token !== token || now >= earlier.until) this.#dropped.set(origin, { token, until: now + PROBATION });
    this.#invalidate(token);
    return true;
  }
}

/** Whether the whole body is in memory. The first try consumes a stream. */
function canBeSentAgain(input, init) {
  if (init?.body !== undefined && init.body !== null) {
    return !(init.body instanceof ReadableStream) && init.body[Symbol.asyncIterator] === undefined;
  }
  return !(input instanceof Request && input.body);
}
