/** JSON documents that an authority publishes. The authority's metadata (RFC 8414) contains their addresses. */

import { exchange } from "./http.js";
import { plain } from "./safe-text.js";
import { parseObject } from "./strict-json.js";

const MOST_SECONDS = 5;

/** A document cannot be fetched, or is not valid. The text is safe to show. */
export class DocumentRefused extends Error {}

/** The metadata name another issuer: the API's settings are wrong, so a retry cannot help. */
export class AnotherIssuer extends DocumentRefused {}

/** Fetch one document; its bytes. Throws `DocumentRefused`. */
export async function getDocument(fetch, url, { headers, mostBytes } = {}) {
  const answer = await exchange(fetch, url, { seconds: MOST_SECONDS, mostBytes, headers }).catch((error) => {
    throw new DocumentRefused(`${url} cannot be fetched: ${error.message}`);
  });
  if (answer.status >= 300 && answer.status < 400)
    throw new DocumentRefused(`${url} redirected, and redirects are not followed`);
  if (answer.status !== 200) throw new DocumentRefused(`${url} answered ${answer.status}`);
  if (!/^application\/([^;]+\+)?json *(;|$)/i.test(answer.headers.get("content-type") ?? ""))
    throw new DocumentRefused(`${url} is not served as JSON`);
  return answer.body;
}

/** Fetch one JSON object. Throws `DocumentRefused`. */
export async function getObject(fetch, url) {
  const body = await getDocument(fetch, url);
  const refuse = (why) => new DocumentRefused(`${url} is not strict JSON: ${why}`);
  return parseObject(body, { maxBytes: body.length, refuse });
}

/** Return the address in the member `member` of the issuer's metadata. Throws `DocumentRefused`. */
export async function addressOf(fetch, issuer, member) {
  const metadata = await getObject(fetch, `${issuer.replace(/\/+$/, "")}/.well-known/oauth-authorization-server`);
  if (metadata.issuer !== issuer) {
    // RFC 8414 §3.3: one authority must not pose as another.
    const named = plain(String(metadata.issuer), 100);
    throw new AnotherIssuer(`the authority's metadata names the issuer ${named} instead of ${issuer}`);
  }
  const found = metadata[member];
  const origin = `${new URL(issuer).origin}/`;
  // The attack: somebody who controls another host publishes keys there.
  if (typeof found !== "string" || !found.startsWith(origin) || !/^[\x21-\x7e]{1,2048}$/.test(found))
    throw new DocumentRefused(`the ${member} in the authority's metadata does not begin with ${origin}`);
  return found;
}
