/** An authority that lies: metadata, key sets, a feed and tokens, served by a `fetch` of its own. */

import { createHash } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

import { TokenVerifier } from "authsec-js";

export const ISSUER = "https://authsec.example.com";
export const AUDIENCE = "https://crm.example.com";
const NOW = 1_800_000_000;

const pairs = {};

async function pair(name, alg) {
  pairs[name] ??= generateKeyPair(alg, { extractable: true });
  return pairs[name];
}

async function jwk(name, alg) {
  return { ...(await exportJWK((await pair(name, alg)).publicKey)), kid: name, alg, use: "sig" };
}

export function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`)
    .join(",")}}`;
}

export class FakeClock {
  now = NOW;

  monotonic = () => this.now;

  wall = () => this.now;
}

export class FakeAuthority {
  clock = new FakeClock();
  entries = [];
  keys = ["signing"];
  head = {}; // claims that each head has instead of the true ones
  headOf = { typ: "authsec-revocations+jwt", kid: "feed" };
  headKey = "feed"; // signs the heads
  batch = {}; // members that each batch has instead of the true ones
  metadata = {};
  isDown = false;
  requests = [];
  streams = new Set();
  warnings = [];
  servesStreams = true;

  verifier(options = {}) {
    return new TokenVerifier({
      issuer: ISSUER,
      audience: AUDIENCE,
      clock: this.clock,
      fetch: this.fetch,
      onWarning: (text) => this.warnings.push(text),
      ...options,
    });
  }

  /** A token, good unless its claims or its header are changed; undefined leaves one out. */
  async token(changes = {}, header = {}, key = "signing") {
    const { now } = this.clock;
    const claims = {
      iss: ISSUER,
      aud: [AUDIENCE],
      sub: "spiffe://authsec.internal/agent/a1",
      client_id: "c1",
      jti: "t1",
      iat: now,
      nbf: now,
      exp: now + 3600,
      scope: "customers:read",
      permissions: ["customers:read"],
      roles: ["support"],
      delegation_ids: ["d1"],
      authority_version: 7,
      attestation: { method: "key_pair", selectors: [], proof: "p1", source: "s1" },
      ...changes,
    };
    const { privateKey } = await pair(key, "ES256");
    return new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: key, ...header })
      .sign(privateKey);
  }

  /** Revoke a subject, and tell all streams. */
  async end(kind, subject, version = 8) {
    const sequence = this.entries.length + 1;
    this.entries.push({ sequence, kind, subject, version, at: new Date(this.clock.now * 1000).toISOString() });
    await this.tell(sequence - 1);
  }

  async tell(since = this.entries.length) {
    const message = await this.message(since);
    for (const stream of this.streams) stream.enqueue(message);
  }

  async message(since) {
    return Buffer.from(`event: batch\r\nid: 1\r\ndata: ${await this.page(since)}\n\n`);
  }

  async page(since) {
    const entries = this.entries.filter((entry) => entry.sequence > since);
    const through = entries.at(-1)?.sequence ?? since;
    const before = this.entries.find((entry) => entry.sequence === since);
    const head = {
      iss: ISSUER,
      iat: Math.floor(this.clock.now),
      since,
      through,
      last: this.entries.length,
      snapshot: false,
      entries_sha256: sha256(canonical(entries)),
      follows: before ? sha256(canonical(before)) : "",
      ...this.head,
    };
    const { privateKey } = await pair(this.headKey, "EdDSA");
    const signed = await new SignJWT(head).setProtectedHeader({ alg: "EdDSA", ...this.headOf }).sign(privateKey);
    return JSON.stringify({ issuer: ISSUER, ...head, entries, head: signed, ...this.batch });
  }

  fetch = async (input, { headers, signal } = {}) => {
    const url = new URL(input);
    this.requests.push({ path: url.pathname, headers: new Headers(headers) });
    if (this.isDown) throw Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });
    if (url.pathname === "/.well-known/oauth-authorization-server") {
      return Response.json({
        issuer: ISSUER,
        jwks_uri: `${ISSUER}/jwks`,
        authsec_revocations_uri: `${ISSUER}/revocations`,
        authsec_revocations_keys_uri: `${ISSUER}/revocations/keys`,
        ...this.metadata,
      });
    }
    if (url.pathname === "/jwks")
      return Response.json({ keys: await Promise.all(this.keys.map((name) => jwk(name, "ES256"))) });
    if (url.pathname === "/revocations/keys") return Response.json({ keys: [await jwk("feed", "EdDSA")] });
    const since = Number(url.searchParams.get("since"));
    if (new Headers(headers).get("accept") !== "text/event-stream") {
      return new Response(await this.page(since), { headers: { "content-type": "application/json" } });
    }
    if (!this.servesStreams) return new Response("no streams here", { status: 404 });
    const first = await this.message(since);
    let stream;
    const body = new ReadableStream({
      start: (controller) => {
        stream = controller;
        stream.enqueue(first);
        this.streams.add(stream);
        signal?.addEventListener("abort", () => {
          if (this.streams.delete(stream)) stream.error(signal.reason);
        });
      },
      cancel: () => this.streams.delete(stream),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
}
