/** The real authority that a test of the repository has started, and what an administrator does there. */

import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { importPKCS8, SignJWT } from "jose";

export const url = process.env.AUTHSEC_TEST_URL;
export const api = "https://crm.example.com";
const adminKey = process.env.AUTHSEC_TEST_ADMIN_KEY;
const folder = mkdtempSync(join(tmpdir(), "authsec-js-"));
let made = 0;

for (const name of Object.keys(process.env)) {
  if (name.startsWith("AUTHSEC_") && !name.startsWith("AUTHSEC_TEST_")) delete process.env[name];
}
process.env.XDG_CONFIG_HOME = folder;

/** One call of the admin API. */
export async function admin(method, path, body) {
  const response = await fetch(`${url}/authsec/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

/** Write a private file; its path. */
export function file(content, mode = 0o600) {
  const path = join(folder, `file-${(made += 1)}`);
  writeFileSync(path, content, { mode });
  return path;
}

/** Make a key pair; the PEM of both halves. */
export function keyPair(type = "ec", options = { namedCurve: "P-256" }) {
  const encoding = {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  };
  const { publicKey, privateKey } = generateKeyPairSync(type, { ...options, ...encoding });
  return { publicKey, privateKey };
}

/** Onboard an agent with a key pair; its id and the file of its key. */
export async function keyedAgent(pair = keyPair()) {
  const { client_id: clientId } = await admin("POST", "clients", {
    name: `Keyed ${createHash("sha256").update(pair.publicKey).digest("hex").slice(0, 12)}`,
    platform: "key",
    public_key: pair.publicKey,
  });
  return { clientId, key: file(pair.privateKey), pem: pair.privateKey };
}

/** Delegate actions at the API to an agent; the id of the trust delegation. */
export async function delegate(clientId, { actions = ["customers:read"], ...more } = {}) {
  const { slug } = await admin("POST", "roles", {
    name: `Role ${process.pid} ${(made += 1)}`,
    actions: ["customers:read", "customers:list", "customers:delete"],
  });
  const { id } = await admin("POST", "delegations", {
    role: slug,
    client: clientId,
    actions,
    target_type: "Other AI agent",
    max_duration: 3600,
    audiences: [api],
    ...more,
  });
  return id;
}

/** Register a trusted issuer with a key of ours, and an agent whose job it proves; the agent and its tokens. */
export async function workload() {
  const pair = keyPair();
  const number = `${process.pid}-${(made += 1)}`; // the files of tests share an authority
  const issuer = `https://ci-${number}.example.com`;
  const jwk = { ...createPublicKey(pair.publicKey).export({ format: "jwk" }), kid: "ci", use: "sig" };
  const { slug } = await admin("POST", "issuers", {
    name: `CI ${number}`,
    kind: "oidc",
    issuer,
    claims: { "ci:job": "job" },
    keys_from: "given",
    given_keys: { keys: [jwk] },
  });
  const job = `nightly-${number}`;
  const { client_id: clientId } = await admin("POST", "clients", {
    name: `Nightly ${number}`,
    platform: "oidc",
    selectors: [{ key: "ci:job", value: job }],
    trusted_issuer: slug,
  });
  const key = await importPKCS8(pair.privateKey, "ES256");
  const token = (audience) =>
    new SignJWT({ job })
      .setProtectedHeader({ alg: "ES256", kid: "ci" })
      .setIssuer(issuer)
      .setSubject(job)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime("5m")
      .sign(key);
  return { clientId, token };
}

/** A clock that is `later` seconds ahead. */
export class LaterClock {
  later = 0;

  monotonic = () => performance.now() / 1000 + this.later;

  wall = () => Date.now() / 1000 + this.later;
}

/** A `fetch` that counts requests to the token endpoint, and can be cut off. */
export class CountedFetch {
  tokens = 0;
  isCut = false;

  fetch = async (input, init) => {
    if (this.isCut) throw Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNRESET" } });
    if (String(input).endsWith("/oauth/token")) this.tokens += 1;
    return fetch(input, init);
  };
}

/** Wait until the condition holds. */
export async function until(condition, seconds = 20) {
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error("the condition did not come true");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
