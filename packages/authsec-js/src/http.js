/** HTTP with limits on time and size. Redirects are not followed: they would send a proof to another server. */

import { AuthSecError, InvalidResponse, TransportError } from "./errors.js";

export const MOST_BYTES = 256 * 1024;

/** For each cause of a failed `fetch`: the stable code, and a remedy. Where nothing answered, a retry may help. */
const CAUSES = [
  [/_TIMEOUT$/, "timeout", "did not answer in time. The server, or a proxy before it, may be overloaded", true],
  [
    /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_)/,
    "certificate_untrusted",
    "has a certificate that is not trusted. If your company signs its own certificates, set NODE_EXTRA_CA_CERTS to the " +
      "PEM file of the company's certificate authority",
  ],
  [/^(ERR_SSL_|EPROTO$)/, "tls_failed", "accepts no TLS connection. Check that this port serves https"],
  [/^(ENOTFOUND|EAI_AGAIN)$/, "unreachable", "cannot be resolved. Check the host name in the address", true],
  [
    /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)$/,
    "unreachable",
    "accepts no connections. Check that it is running",
    true,
  ],
  [/(?:)/, "connection_lost", "closed the connection before the answer was complete", true],
];

/**
 * One request that can be interrupted at any time.
 *
 * The `signal` of `fetch` is not enough: once the garbage collector has run, Node can lose the signal of a request whose
 * body is still arriving. A server that stalls could then block its caller for ever.
 */
export class OpenRequest {
  #controller = new AbortController();
  #reader;
  #error;
  #reject = () => {};

  /** End the request. Whoever waits for it gets this error. */
  interrupt(error) {
    this.#error ??= error;
    this.#controller.abort(error);
    this.#reject(error);
    this.#reader?.cancel().catch(() => {});
  }

  /** Send the request, and return the response when its headers have arrived. */
  async send(fetch, url, init) {
    if (this.#error !== undefined) throw this.#error;
    const interrupted = new Promise((_, reject) => {
      this.#reject = reject;
    });
    const response = fetch(url, { ...init, signal: this.#controller.signal });
    response.then(
      (late) => this.#error && late.body?.cancel().catch(() => {}),
      () => {},
    );
    return Promise.race([response, interrupted]);
  }

  /** Yield the pieces of the response's body. */
  async *pieces(response) {
    this.#reader = response.body?.getReader();
    try {
      while (this.#reader !== undefined) {
        const { done, value } = await this.#reader.read();
        if (this.#error !== undefined) throw this.#error;
        if (done) return;
        yield value;
      }
    } finally {
      this.#reader?.cancel().catch(() => {});
    }
  }
}

/** Send one request; return its status, headers and whole body. Throws `TransportError` or `InvalidResponse`. */
export async function exchange(fetch, url, { seconds, mostBytes = MOST_BYTES, headers, ...init }) {
  const open = new OpenRequest();
  const late = new DOMException("The request took too long.", "TimeoutError");
  const timer = setTimeout(() => open.interrupt(late), Math.max(1, Math.ceil(seconds * 1000)));
  try {
    const accepted = { accept: "application/json", "cache-control": "no-cache", ...headers };
    const response = await open.send(fetch, url, { ...init, headers: accepted, redirect: "manual" });
    const body = await whole(open.pieces(response), response.status, mostBytes);
    return { status: response.status, headers: response.headers, body };
  } catch (error) {
    throw error instanceof AuthSecError ? error : transportError(error, new URL(url).host);
  } finally {
    clearTimeout(timer);
  }
}

async function whole(body, status, mostBytes) {
  const pieces = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > mostBytes) {
      const what = "The answer is larger than any answer of an AuthSec authority. Check its address.";
      throw new InvalidResponse("invalid_response", what, { status });
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Return an error with a remedy, in place of the error of `fetch`, whose text and cause may contain the request. */
export function transportError(error, host) {
  const code = error?.name === "TimeoutError" ? "_TIMEOUT" : String(error?.cause?.code ?? error?.code ?? "");
  const [, reason, what, retryable = false] = CAUSES.find(([codes]) => codes.test(code));
  return new TransportError(reason, `${host} ${what}.`, { retryable });
}
