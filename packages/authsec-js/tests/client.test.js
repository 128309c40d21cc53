/** An agent gets delegation tokens from the real authority, and is told why not. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { afterEach, test } from "node:test";
import { inspect } from "node:util";
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from "jose";

import {
  AuthenticationError,
  AuthSecClient,
  ConfigError,
  DelegationDenied,
  InvalidResponse,
  keyFile,
  RateLimited,
  ServerError,
  tokenFile,
  TokenVerifier,
  TransportError,
} from "authsec-js";

import {
  admin,
  api,
  CountedFetch,
  delegate,
  file,
  keyedAgent,
  keyPair,
  LaterClock,
  until,
  url,
  workload,
} from "./authority.js";

const warnings = [];

afterEach(() => warnings.splice(0));

function clientOf({ clientId, key }, more = {}) {
  return new AuthSecClient({
    baseUrl: url,
    clientId,
    credential: keyFile(key),
    onWarning: (text) => warnings.push(text),
    ...more,
  });
}

async function delegatedAgent(options) {
  const agent = await keyedAgent();
  return { ...agent, delegation: await delegate(agent.clientId, options) };
}

async function accepted(token) {
  const verifier = new TokenVerifier({ issuer: url, audience: api });
  try {
    return await verifier.verify(token);
  } finally {
    verifier.close();
  }
}

test("an agent gets a token with a key of each kind", async () => {
  for (const [type, options] of [
    ["ec", { namedCurve: "P-256" }],
    ["ec", { namedCurve: "P-521" }],
    ["ed25519", {}],
    ["rsa", { modulusLength: 2048 }],
  ]) {
    const agent = await keyedAgent(keyPair(type, options));
    await delegate(agent.clientId);
    const token = await clientOf(agent).getToken({ scope: "customers:read", resource: api });
    assert.deepEqual(token.permissions, ["customers:read"]);
    assert.equal(token.expiresIn, 3600);
    assert.equal((await accepted(token.value)).clientId, agent.clientId);
  }
});

test("an agent gets a token with the token of its workload", async () => {
  const { clientId, token } = await workload();
  await delegate(clientId);
  const path = file(await token(url), 0o644);
  const client = new AuthSecClient({ baseUrl: url, clientId, credential: tokenFile(path) });
  const verified = await accepted(await client.getDelegationToken());
  assert.equal(verified.attestation.method, "oidc");
});

test("a workload's token for another audience is never sent", async () => {
  const { clientId, token } = await workload();
  const path = file(await token("https://vault.example.com"));
  const counted = new CountedFetch();
  const client = new AuthSecClient({ baseUrl: url, clientId, credential: tokenFile(path), fetch: counted.fetch });
  await assert.rejects(client.getToken(), {
    name: "ConfigError",
    reason: "credential_broken",
    message: /https:\/\/vault\.example\.com/,
  });
  assert.equal(counted.tokens, 0);
});

test("settings and key come from the environment", async () => {
  const agent = await delegatedAgent();
  Object.assign(process.env, {
    AUTHSEC_BASE_URL: url,
    AUTHSEC_AGENT_CLIENT_ID: agent.clientId,
    AUTHSEC_AGENT_KEY_FILE: agent.key,
  });
  try {
    assert.equal((await accepted(await new AuthSecClient().getDelegationToken())).clientId, agent.clientId);
  } finally {
    for (const name of ["AUTHSEC_BASE_URL", "AUTHSEC_AGENT_CLIENT_ID", "AUTHSEC_AGENT_KEY_FILE"])
      delete process.env[name];
  }
});

test("a denial says what is missing, what would pass, and where a person grants it", async () => {
  const agent = await delegatedAgent();
  const error = await clientOf(agent)
    .getToken({ scope: ["customers:delete", "customers:read"] })
    .catch((thrown) => thrown);
  assert.ok(error instanceof DelegationDenied);
  assert.equal(error.reason, "action_not_allowed");
  assert.equal(error.status, 400);
  assert.deepEqual(error.missingActions, ["customers:delete"]);
  assert.equal(error.allowedScope, "customers:read");
  assert.match(error.grantAt, new RegExp(`^${url}/console/delegations/new\\?client=${agent.clientId}`));
  assert.match(error.forModel, /The delegation allows customers:read\. The person you work for can grant it at http/);
  assert.ok(error.details);
  assert.match(error.stack, /Retrying will not help/);
  const { items } = await admin("GET", `events?request_id=${error.requestId}`);
  assert.equal(items[0].reason, "action_not_allowed");
});

test("each refusal has its class and its reason", async () => {
  const agent = await delegatedAgent();
  const refused = (client, options) =>
    client.getToken(options).then(
      () => assert.fail("a token"),
      (error) => error,
    );

  const stranger = await refused(clientOf({ ...agent, key: file(keyPair().privateKey) }));
  assert.ok(stranger instanceof AuthenticationError);
  assert.equal(stranger.reason, "attestation_invalid");
  assert.match(stranger.message, /The proof came from: key file/);

  const clock = new LaterClock();
  clock.wall = () => Date.now() / 1000 + 600;
  const early = await refused(clientOf(agent, { clock }));
  assert.match(early.message, /clock differs .* by 60[01] s: synchronise it/);
  assert.doesNotMatch(early.message, /came from|key file/);

  const elsewhere = await refused(clientOf(agent), { resource: "https://other.example" });
  assert.ok(elsewhere instanceof DelegationDenied);
  assert.equal(elsewhere.reason, "invalid_target");
  assert.ok(elsewhere.isOfTheSetup);
  assert.doesNotMatch(elsewhere.forModel, /other\.example/);

  await admin("POST", `clients/${agent.clientId}/disable`);
  const disabled = await refused(clientOf(agent));
  assert.ok(disabled instanceof DelegationDenied);
  assert.equal(disabled.reason, "client_disabled");
  await admin("POST", `clients/${agent.clientId}/enable`);

  await admin("POST", `delegations/${agent.delegation}/revoke`);
  const ended = await refused(clientOf(agent));
  assert.ok(ended instanceof DelegationDenied);
  assert.equal(ended.reason, "delegation_ended");
});

test("each error has a text for a model, and a missing key file leaves a line", async () => {
  const warnings = [];
  const agent = await keyedAgent();
  const warned = { onWarning: (text) => warnings.push(text) };
  const failed = (more, options) => clientOf(agent, { ...warned, ...more }).getToken(options).catch((error) => error);

  const missing = await failed({ credential: keyFile("/nowhere/agent-key.pem") });
  assert.ok(missing instanceof ConfigError);
  assert.match(missing.forModel, /^This agent is not set up .* The agent's log tells its operator what to do\./);
  assert.doesNotMatch(missing.forModel, /nowhere/);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /\/nowhere\/agent-key\.pem/);

  const misspelt = await failed({}, { scope: "customers" });
  assert.match(misspelt.forModel, /^This agent is not set up/);
  assert.match(warnings[1], /is not an action/);

  const away = await failed({ baseUrl: "http://127.0.0.1:1", timeout: 0.2 });
  assert.ok(away instanceof TransportError);
  assert.match(away.forModel, /^The service that grants access cannot be reached \(\w+\)\. Try again later\.$/);
  assert.doesNotMatch(away.forModel, /127/);
});

test("an agent whose setup is wrong leaves one line a minute for each reason", async () => {
  const agent = await delegatedAgent();
  const clock = new LaterClock();
  clock.wall = () => Date.now() / 1000; // the authority compares the proofs with its own clock
  const client = clientOf(agent, { clock });
  const refused = (resource) => client.getToken({ resource }).catch((error) => error);
  for (const wait of [0, 59, 1]) {
    clock.later += wait;
    for (const resource of ["https://a.example", "https://b.example"]) {
      const { forModel, message } = await refused(resource);
      assert.match(forModel, /^This agent is not set up as its authority expects \(invalid_target.*The agent's log tells/);
      assert.match(message, /not delegated/);
    }
  }
  assert.equal(warnings.length, 2);
  assert.match(warnings[0], /^the agent gets no token \(invalid_target\): The requested actions are not delegated/);
  assert.match(warnings[1], / 3 more since the last such line\.$/);
  await client.getToken({ scope: "customers:delete" }).catch((error) => assert.ok(!error.isOfTheSetup));
  assert.equal(warnings.length, 2);
});

test("an outage and a server that is no authority are told apart", async () => {
  const agent = await keyedAgent();
  const refused = async (fetch) =>
    clientOf(agent, { fetch, issuer: url })
      .getToken()
      .catch((error) => error);
  const answering =
    (status, body, headers = {}) =>
    async () =>
      new Response(body, { status, headers });

  const away = await refused(async () =>
    Promise.reject(Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } })),
  );
  assert.ok(away instanceof TransportError);
  assert.deepEqual([away.reason, away.retryable], ["unreachable", true]);

  const page = await refused(answering(404, "<html>"));
  assert.ok(page instanceof InvalidResponse);
  assert.equal(page.reason, "invalid_response");

  const moved = await refused(answering(302, null, { location: "https://login.example.com/?state=secret" }));
  assert.equal(moved.reason, "redirected");
  assert.match(moved.message, /redirects to https:\/\/login\.example\.com\. /);

  const busy = await refused(
    answering(429, '{"error":"temporarily_unavailable","reason":"rate_limited"}', { "retry-after": "7" }),
  );
  assert.ok(busy instanceof RateLimited);
  assert.equal(busy.retryAfter, 7);

  const down = await refused(answering(502, "bad gateway"));
  assert.ok(down instanceof ServerError);

  const dpop = await refused(answering(200, '{"access_token":"a.b.c","token_type":"DPoP","expires_in":60}'));
  assert.match(dpop.message, /token_type is not Bearer/);
});

test("many callers send one request, and later ones none", async () => {
  const counted = new CountedFetch();
  const client = clientOf(await delegatedAgent(), { fetch: counted.fetch });
  const tokens = await Promise.all(Array.from({ length: 20 }, () => client.getToken()));
  assert.equal(new Set(tokens.map((token) => token.value)).size, 1);
  await client.getToken();
  assert.equal(counted.tokens, 1);
  await client.getToken({ scope: "customers:read" });
  assert.equal(counted.tokens, 2);
  await client.getToken({ forceRefresh: true });
  assert.equal(counted.tokens, 3);
});

test("a token close to its expiry is renewed in the background", async () => {
  const [counted, clock] = [new CountedFetch(), new LaterClock()];
  const client = clientOf(await delegatedAgent(), { fetch: counted.fetch, clock });
  const first = await client.getToken();
  clock.later = 3600 - 301;
  assert.equal(await client.getToken(), first);
  assert.equal(counted.tokens, 1);
  // The proof is made with the time of day, so the test's authority would refuse a proof of this future.
  clock.wall = () => Date.now() / 1000;
  clock.later = 3600 - 299;
  assert.equal(await client.getToken(), first);
  await until(() => counted.tokens === 2);
  await until(async () => (await client.getToken()) !== first);
});

test("without the authority a token is used until its expiry, and not longer", async () => {
  const [counted, clock] = [new CountedFetch(), new LaterClock()];
  const client = clientOf(await delegatedAgent(), { fetch: counted.fetch, clock });
  const first = await client.getToken();
  counted.isCut = true;
  clock.later = 3590;
  assert.equal(await client.getToken(), first);
  await until(() => warnings.length > 0);
  assert.match(warnings[0], /renewing the delegation token failed \(connection_lost\)/);
  clock.later = 3601;
  await assert.rejects(client.getToken(), { name: "TransportError" });
});

test("a refusal in the background drops the token", async () => {
  const clock = new LaterClock();
  clock.wall = () => Date.now() / 1000;
  const agent = await delegatedAgent();
  const client = clientOf(agent, { clock });
  const first = await client.getToken();
  await admin("POST", `delegations/${agent.delegation}/revoke`);
  clock.later = 3400;
  assert.equal(await client.getToken(), first);
  await until(() => warnings.length > 0);
  await assert.rejects(client.getToken(), { reason: "delegation_ended" });
  await assert.rejects(client.getToken(), { reason: "delegation_ended" });
});

test("a Retry-After pauses calls that have no token", async () => {
  let asked = 0;
  const fetch = async () => {
    asked += 1;
    return new Response('{"error":"temporarily_unavailable","reason":"rate_limited"}', {
      status: 429,
      headers: { "retry-after": "30" },
    });
  };
  const clock = new LaterClock();
  const client = clientOf(await keyedAgent(), { fetch, clock, issuer: url });
  await assert.rejects(client.getToken(), { reason: "rate_limited", retryAfter: 30 });
  await assert.rejects(client.getToken(), (error) => error.retryAfter < 30);
  assert.equal(asked, 1);
  clock.later = 31;
  await assert.rejects(client.getToken(), { reason: "rate_limited" });
  assert.equal(asked, 2);
});

test("an API's 401 renews the token once", async () => {
  const counted = new CountedFetch();
  const sent = [];
  let answer = (token, first) => (token === first ? 401 : 200);
  const fetch = async (input, init) => {
    if (String(input).startsWith(url)) return counted.fetch(input, init);
    const token = new Headers(init.headers).get("authorization");
    sent.push([String(input.url ?? input), token, init.body]);
    return new Response("the record", { status: answer(token, sent[0][1]) });
  };
  const client = clientOf(await delegatedAgent(), { fetch });
  const crm = client.authorizedFetch({ allowedOrigins: api, scope: "customers:read" });
  const response = await crm(`${api}/customers/42`, {
    method: "POST",
    body: "note",
    headers: { accept: "text/plain" },
  });
  assert.equal(response.status, 200);
  assert.deepEqual(
    sent.map(([address, , body]) => [address, body]),
    [
      [`${api}/customers/42`, "note"],
      [`${api}/customers/42`, "note"],
    ],
  );
  assert.notEqual(sent[0][1], sent[1][1]);
  assert.equal(counted.tokens, 2);

  answer = () => 401; // an API that refuses every token gets one new token in 30 seconds
  for (let call = 0; call < 5; call += 1) assert.equal((await crm(`${api}/customers/42`)).status, 401);
  assert.equal(counted.tokens, 3);

  sent.splice(0);
  await crm(`${api}/customers`, { method: "POST", body: new Blob(["once"]).stream(), duplex: "half" });
  assert.equal(sent.length, 1);
});

test("other origins get no token", async () => {
  const sent = [];
  const fetch = async (input, init) => {
    if (String(input).startsWith(url)) return globalThis.fetch(input, init);
    sent.push(new Headers(init?.headers).get("authorization"));
    return new Response();
  };
  const client = clientOf(await delegatedAgent(), { fetch });
  const crm = client.authorizedFetch({ allowedOrigins: [api] });
  for (const address of [
    "https://crm.example.com.evil.example",
    "https://crm.example.com:8443",
    "http://crm.example.com",
    "https://crm.example.com@evil.example",
  ]) {
    await crm(address);
  }
  assert.deepEqual(sent, [null, null, null, null]);
  assert.equal(warnings.length, 4);
  for (const wrong of [
    [],
    "https://crm.example.com/path",
    "crm.example.com",
    "http://crm.example.com",
    "https://*.example.com",
  ]) {
    assert.throws(() => client.authorizedFetch({ allowedOrigins: wrong }), ConfigError, String(wrong));
  }
});

test("a redirect to another origin carries no token, and its 401 costs none", async () => {
  const received = [];
  const listen = async (answer) => {
    const server = createServer((request, response) => {
      received.push(request.headers.authorization);
      answer(response);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return [server, `http://127.0.0.1:${server.address().port}`];
  };
  const [elsewhere, other] = await listen((response) => response.writeHead(401).end());
  const [crm, origin] = await listen((response) => response.writeHead(302, { location: `${other}/` }).end());
  try {
    const counted = new CountedFetch();
    const client = clientOf(await delegatedAgent(), { fetch: counted.fetch });
    const response = await client.authorizedFetch({ allowedOrigins: origin })(`${origin}/customers/42`);
    assert.equal(response.status, 401);
    assert.deepEqual(received, [`Bearer ${await client.getDelegationToken()}`, undefined]);
    assert.equal(counted.tokens, 1);
  } finally {
    for (const server of [crm, elsewhere]) {
      server.close();
      server.closeAllConnections();
    }
  }
});

test("an agent revokes its own token", async () => {
  const client = clientOf(await delegatedAgent());
  const token = await client.getToken();
  await client.revokeToken(token);
  await assert.rejects(accepted(token.value), { reason: "token_revoked" });
  assert.notEqual((await client.getToken()).value, token.value);
});

test("no secret is in an error, in inspection or in JSON", async () => {
  const agent = await delegatedAgent();
  const client = clientOf(agent);
  const token = await client.getToken();
  const refused = await clientOf({ ...agent, key: file(keyPair().privateKey) })
    .getToken()
    .catch((error) => error);
  const fails = new AuthSecClient({
    baseUrl: url,
    clientId: agent.clientId,
    credential: { lookedAt: () => "", proof: async () => Promise.reject(new Error(`leaks ${token.value}`)) },
  });
  const internal = await fails.getToken().catch((error) => error);
  assert.equal(internal.reason, "internal_error");
  const crm = client.authorizedFetch({ allowedOrigins: api });
  const keyLine = agent.pem.split("\n")[1];
  for (const thing of [client, token, refused, internal, crm, keyFile(agent.key)]) {
    for (const text of [
      inspect(thing, { showHidden: true, depth: 20, getters: false }),
      JSON.stringify(thing) ?? "",
      String(thing),
    ]) {
      assert.ok(!text.includes(token.value) && !text.includes(keyLine) && !text.includes("eyJ"), text);
    }
  }
});

test("a key file that others can read, or that has no key, is named with its remedy", async () => {
  const agent = await keyedAgent();
  const broken = async (path, pattern) => {
    await assert.rejects(
      clientOf({ ...agent, key: path }).getToken(),
      (error) => error instanceof ConfigError && pattern.test(error.message),
    );
  };
  chmodSync(agent.key, 0o644);
  await broken(agent.key, /chmod 600/);
  await broken(file("no key"), /cannot be used/);
  await broken("/nowhere/agent.pem", /There is no file \/nowhere\/agent\.pem/);
  await broken(agent.pem, /seems to be the secret itself/);
  await broken("/tmp", /is not a file/);
  const enrolled = file(`Enrolled until 2030-01-01T00:00:00Z by \`authsec enrol\`.\n${agent.pem}`);
  await delegate(agent.clientId);
  assert.ok(await clientOf({ ...agent, key: enrolled }).getDelegationToken());
  writeFileSync(enrolled, keyPair().privateKey); // the file is read for each proof
  await assert.rejects(clientOf({ ...agent, key: enrolled }).getToken(), AuthenticationError);
});

test("settings that cannot work are refused before anything is sent", () => {
  const clientId = "0f0c3a5e-0000-4000-8000-000000000000";
  const reasons = [
    [{ clientId }, "base_url_missing"],
    [{ baseUrl: url }, "client_id_missing"],
    [{ baseUrl: url, clientId: "night-owl" }, "client_id_invalid"],
    [{ baseUrl: "http://authsec.example.com", clientId }, "base_url_invalid"],
    [{ baseUrl: "https://user:secret@authsec.example.com", clientId }, "base_url_invalid"],
    [{ baseUrl: "https://authsec.example.com?x", clientId }, "base_url_invalid"],
    [{ baseUrl: url, clientId, timeout: 0 }, "timeout_invalid"],
  ];
  for (const [options, reason] of reasons) {
    assert.throws(
      () => new AuthSecClient(options),
      (error) => error instanceof ConfigError && error.reason === reason && !error.message.includes("secret"),
      reason,
    );
  }
  assert.ok(new AuthSecClient({ baseUrl: "http://authsec.internal", clientId, allowHttpHosts: ["authsec.internal"] }));
  const client = new AuthSecClient({ baseUrl: url, clientId });
  assert.throws(() => client.authorizedFetch({ allowedOrigins: api, scope: "customers:*" }), {
    reason: "invalid_scope",
  });
});

/** A token endpoint that wants a nonce in each proof, and binds its token to the key of the proof, or to another. */
function nonceEndpoint(boundTo) {
  const proofs = [];
  const fetch = async (_url, { headers }) => {
    const proof = new Headers(headers).get("dpop");
    const { jwk } = decodeProtectedHeader(proof);
    proofs.push(decodeJwt(proof));
    if (proofs.length === 1) {
      const body = { error: "use_dpop_nonce", reason: "use_dpop_nonce", request_id: "req_1", retryable: true };
      return Response.json(body, { status: 400, headers: { "DPoP-Nonce": "fresh" } });
    }
    const cnf = { jkt: boundTo ?? (await calculateJwkThumbprint(jwk)) };
    const token = `e30.${Buffer.from(JSON.stringify({ cnf })).toString("base64url")}.c2ln`;
    return Response.json({ access_token: token, token_type: "DPoP", expires_in: 60, scope: "customers:read" });
  };
  return { fetch, proofs };
}

test("a proof of the key has the authority's nonce, and each request its own proof", async () => {
  const agent = await keyedAgent();
  const { fetch, proofs } = nonceEndpoint();
  const client = clientOf(agent, { fetch, issuer: url, dpop: true });
  const token = await client.getToken();
  assert.equal(token.tokenType, "DPoP");
  assert.deepEqual(
    proofs.map(({ htm, htu, nonce, ath }) => [htm, htu, nonce, ath]),
    [
      ["POST", `${url}/oauth/token`, undefined, undefined],
      ["POST", `${url}/oauth/token`, "fresh", undefined],
    ],
  );
  const sent = await Promise.all(["?a", "#b"].map((more) => client.headers(token, "GET", `${api}/customers${more}`)));
  const claims = sent.map(({ authorization, dpop }) => {
    assert.equal(authorization, `DPoP ${token.value}`);
    return decodeJwt(dpop);
  });
  const ath = createHash("sha256").update(token.value).digest("base64url");
  for (const each of claims) assert.deepEqual([each.htm, each.htu, each.ath], ["GET", `${api}/customers`, ath]);
  assert.equal(new Set([...proofs, ...claims].map(({ jti }) => jti)).size, 4);
});

test("a token that is not bound to the key is not used", async () => {
  const agent = await delegatedAgent();
  const another = clientOf(agent, { fetch: nonceEndpoint("x".repeat(43)).fetch, issuer: url, dpop: true });
  await assert.rejects(another.getToken(), { name: "InvalidResponse", message: /not bound to this key/ });
  const bearer = async () => Response.json({ access_token: "a.b.c", token_type: "Bearer", expires_in: 60 });
  const bare = clientOf(agent, { fetch: bearer, issuer: url, dpop: true });
  await assert.rejects(bare.getToken(), { name: "InvalidResponse", message: /token_type is not DPoP/ });
});

test("a delegation that requires a bound token says how to get one", async () => {
  const agent = await keyedAgent();
  await delegate(agent.clientId, { require_dpop: true });
  await assert.rejects(clientOf(agent).getToken(), { reason: "proof_not_accepted", message: /AUTHSEC_DPOP=1/ });
  const token = await clientOf(agent, { dpop: true }).getToken();
  await assert.rejects(accepted(token.value), { reason: "binding_not_supported" });
});
