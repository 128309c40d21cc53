/** The compact form of a signed JWT (RFC 7515 §7.1), parsed strictly before `jose` verifies its signature. */

import { compactVerify } from "jose";

import { parseObject } from "./strict-json.js";

/** The token is refused. `reason` is a stable code; the text never contains the token. */
export class JwsRefused extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

/** Return header and claims before verification. Use them only to choose the key, and to refuse. Throws `JwsRefused`. */
export function parseJws(token, maxBytes) {
  if (typeof token !== "string") throw malformed("is not a text");
  if (token.length > maxBytes) throw new JwsRefused("token_too_large", `the token is longer than ${maxBytes} bytes`);
  const parts = token.split(".");
  if (parts.length !== 3 || !parts.every(isBase64url))
    throw malformed("is not three parts of base64url joined by dots");
  const [header, claims] = parts.slice(0, 2).map((part) => {
    return parseObject(Buffer.from(part, "base64url"), {
      maxBytes,
      refuse: (why) => malformed(`is not strict JSON: ${why}`),
    });
  });
  const wrong = ["alg", "kid", "typ"].find((name) => typeof (header[name] ?? "") !== "string");
  if (wrong !== undefined) throw malformed(`has a header ${wrong} that is not a text`);
  // RFC 8725 §3.10: a token must not choose the key that verifies it. RFC 7515 §4.1.11: no extension is supported.
  const forbidden = ["crit", "b64", "jwk", "jku", "x5u", "x5c"].find((name) => name in header);
  if (forbidden !== undefined) throw new JwsRefused("header_not_allowed", `the token's header has ${forbidden}`);
  return { token, header, claims };
}

function malformed(what) {
  return new JwsRefused("token_malformed", `the token ${what}`);
}

/** Check the signature. The key decides its algorithm, not the token. Throws `JwsRefused`. */
export async function verifySignature({ token, header }, { key, alg }, algorithms) {
  if (!algorithms.includes(header.alg) || header.alg !== alg) {
    throw new JwsRefused("alg_not_allowed", "the token's signature algorithm does not fit the key");
  }
  try {
    await compactVerify(token, key, { algorithms: [alg] });
  } catch {
    throw new JwsRefused("signature_invalid", "the signature does not verify");
  }
}

/** Whether the text is base64url without padding, in its one canonical form (RFC 4648 §3.5). */
function isBase64url(part) {
  return part !== "" && Buffer.from(part, "base64url").toString("base64url") === part;
}
