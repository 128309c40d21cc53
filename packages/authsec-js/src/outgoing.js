/** A request to an API with a token, and the effect of a 401. */

const PROBATION = 30; // seconds: while an API refuses new tokens too, at most one new token in this time
const MOST_MENTIONED = 64;

/** Return a `fetch` whose requests to `origins` carry a token. `headersOf` makes the headers of one request. */
export function authorizedFetch({ getToken, invalidate, headersOf, origins, fetch, clock, warn }) {
  const dropped = new Map();
  const mentioned = new Set();

  /** Each origin that gets no token is named once. Otherwise nobody could see why the API at this origin answers 401. */
  function allows(origin) {
    if (!origins.has(origin) && !mentioned.has(origin) && mentioned.size < MOST_MENTIONED) {
      mentioned.add(origin);
      warn(`no token is sent to ${origin}: allowedOrigins has ${[...origins].sort().join(", ")}`);
    }
    return origins.has(origin);
  }

  /**
   * Record an API's response to `token`; return whether a retry with another token may succeed.
   *
   * If the API refuses the new token too, the agent requests at most one token in 30 seconds: such an API refuses every
   * token, or has not yet fetched a new key.
   */
  function needsNewToken(response, origin, token) {
    // `fetch` drops the token at a redirect to another origin, so that server's 401 says nothing about the token.
    if (response.redirected && new URL(response.url).origin !== origin) return false;
    if (response.status !== 401) {
      dropped.delete(origin);
      return false;
    }
    const now = clock.monotonic();
    const earlier = dropped.get(origin) ?? { token, until: 0 };
    if (earlier.token !== token && now < earlier.until) return false;
    if (now >= earlier.until) dropped.set(origin, { token, until: now + PROBATION });
    invalidate(token);
    return true;
  }

  async function send(input, init, token) {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    const method = init?.method ?? (input instanceof Request ? input.method : "GET");
    const added = await headersOf(token, method.toUpperCase(), input instanceof Request ? input.url : String(input));
    for (const [name, value] of Object.entries(added)) headers.set(name, value);
    return fetch(input, { ...init, headers });
  }

  return async (input, init) => {
    const { origin } = new URL(input instanceof Request ? input.url : input);
    if (!allows(origin)) return fetch(input, init);
    const token = await getToken();
    const response = await send(input, init, token);
    if (!needsNewToken(response, origin, token) || !canBeSentAgain(input, init)) return response;
    await response.body?.cancel();
    const next = await getToken();
    const answer = await send(input, init, next);
    needsNewToken(answer, origin, next);
    return answer;
  };
}

/** Whether the whole body is in memory. The first try consumes a stream. */
function canBeSentAgain(input, init) {
  const body = init?.body ?? undefined;
  if (body === undefined) return !(input instanceof Request && input.body);
  return !(body instanceof ReadableStream) && body[Symbol.asyncIterator] === undefined;
}
