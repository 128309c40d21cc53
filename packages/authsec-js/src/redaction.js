/** Removes the tokens of this process from a response: a server may echo the request's headers, and a model reads them. */

const REMOVED = "[delegation token removed]";
const LEEWAY = 60; // seconds: an API may accept a token this long after its expiry
const MOST_TOKENS = 1000;
const SHORTEST_TOKEN = 24; // a shorter text could be anywhere
const LONGEST_LINE = 64 * 1024; // bytes: an endless line must not fill the memory
const LONGEST_TOKEN = 24 * 1024; // bytes of a token, plain or in base64: servers refuse longer headers

const issued = new Map(); // of each token of this process: its forms, and until when it may be valid (milliseconds)

/** Remember a token that is valid for `expiresIn` seconds. */
export function recordIssued(token, expiresIn) {
  const now = performance.now();
  for (const [one, { until }] of issued) if (until < now) issued.delete(one);
  if (token.length < SHORTEST_TOKEN) return;
  if (issued.size >= MOST_TOKENS) issued.delete(issued.keys().next().value);
  issued.set(token, { forms: [token, ...inBase64(token)], until: now + (expiresIn + LEEWAY) * 1000 });
}

/** Return the text without any token of this process, neither plain nor in base64. */
export function withoutTokens(text) {
  let safe = text;
  for (const { forms } of issued.values()) {
    for (const form of forms) safe = safe.replaceAll(form, REMOVED);
  }
  return safe;
}

/** Return the response without any token of this process, in its headers and in its body. */
export function safeResponse(response) {
  const { status, statusText, body } = response;
  const headers = new Headers([...response.headers].map(([name, value]) => [name, withoutTokens(value)]));
  for (const ofTheEncoded of ["content-encoding", "content-length"]) headers.delete(ofTheEncoded);
  return new Response(body && body.pipeThrough(new TransformStream(redaction())), { status, statusText, headers });
}

/** Replace tokens, also those that span several pieces. Complete lines are passed on at once: no token has a line break. */
function redaction() {
  let rest = "";
  const pass = (controller, text) => text && controller.enqueue(Buffer.from(text, "latin1"));
  return {
    transform(piece, controller) {
      rest += Buffer.from(piece).toString("latin1");
      const end = Math.max(rest.lastIndexOf("\n"), rest.lastIndexOf("\r")) + 1;
      pass(controller, withoutTokens(rest.slice(0, end)));
      rest = rest.slice(end);
      if (rest.length > LONGEST_LINE) {
        rest = withoutTokens(rest);
        pass(controller, rest.slice(0, -LONGEST_TOKEN));
        rest = rest.slice(-LONGEST_TOKEN);
      }
    },
    flush: (controller) => pass(controller, withoutTokens(rest)),
  };
}

/** Return three texts: each base64 text with the token has one of them, whichever byte of a group the token begins at. */
function inBase64(token) {
  return [0, 1, 2].map((start) => {
    const whole = token.slice(start, start + Math.floor((token.length - start) / 3) * 3);
    return Buffer.from(whole, "latin1").toString("base64");
  });
}
