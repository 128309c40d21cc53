/** HTTP with limits on time and size. Redirects are not followed: they would send a proof to another server. */

import { AuthSecError, InvalidResponse, TransportError } from "./errors.js";

export const MOST_BYTES = 256 * 1024;

const UNTRUSTED = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_)/;
const NOT_THERE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]);

/** Send one request; return its status, headers and whole body. Throws `TransportError` or `InvalidResponse`. */
export async function exchange(fetch, url, { seconds, mostBytes = MOST_BYTES, headers, ...init }) {
  try {
    const response = await fetch(url, {
      ...init,
      headers: { accept: "application/json", "cache-control": "no-cache", ...headers },
      redirect: "manual",
      signal: AbortSignal.timeout(Math.max(1, Math.ceil(seconds * 1000))),
    });
    return { status: response.status, headers: response.headers, body: await readBody(response, mostBytes) };
  } catch (error) {
    throw error instanceof AuthSecError ? error : transportError(error, new URL(url).host);
  }
}

async function readBody(response, mostBytes) {
  const pieces = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > mostBytes) {
      throw new InvalidResponse("The answer is larger than any answer of an AuthSec authority. Check its address.", {
        reason: "invalid_response",
        status: response.status,
      });
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Return an error with a remedy, in place of the error of `fetch`, whose text and cause may contain the request. */
export function transportError(error, host) {
  const code = String(error?.cause?.code ?? error?.code ?? "");
  if (error?.name === "TimeoutError" || code.endsWith("_TIMEOUT")) {
    return unreachable(
      "timeout",
      `${host} did not answer in time. The authority, or a proxy before it, may be overloaded.`,
    );
  }
  if (UNTRUSTED.test(code)) {
    return new TransportError(
      `The certificate of ${host} is not trusted. If your company signs its own certificates, set NODE_EXTRA_CA_CERTS ` +
        "to the PEM file of the company's certificate authority.",
      { reason: "certificate_untrusted" },
    );
  }
  if (code.startsWith("ERR_SSL_") || code === "EPROTO") {
    return new TransportError(`No TLS connection to ${host} could be made. Check that this port serves https.`, {
      reason: "tls_failed",
    });
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return unreachable("unreachable", `The host name of ${host} cannot be resolved. Check the authority's address.`);
  }
  if (NOT_THERE.has(code)) {
    return unreachable(
      "unreachable",
      `Nothing accepts connections at ${host}. Check the address, and that the authority is running.`,
    );
  }
  return unreachable("connection_lost", `The connection to ${host} broke before the answer was complete.`);
}

function unreachable(reason, message) {
  return new TransportError(message, { reason, retryable: true });
}
