/** What an API accepts, and refuses: tokens, key sets and feeds of an authority that lies. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { inspect } from "node:util";

import { ConfigError, InsufficientScope, TokenVerifier, VerificationError } from "authsec-js";

import { until } from "./authority.js";
import { AUDIENCE, FakeAuthority, ISSUER, sha256 } from "./fake-authority.js";

const open = [];

afterEach(() => open.splice(0).forEach((verifier) => verifier.close()));

function authorityAndVerifier(options) {
  const authority = new FakeAuthority();
  const verifier = authority.verifier(options);
  open.push(verifier);
  return [authority, verifier];
}

async function outcome(verifier, token) {
  try {
    await verifier.verify(token);
    return "accepted";
  } catch (error) {
    assert.ok(error instanceof VerificationError, inspect(error));
    return error.reason;
  }
}

test("a good token names the agent and what it may do", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const agent = await verifier.verifyHeader(`Bearer ${await authority.token()}`);
  assert.deepEqual(
    [agent.agent, agent.clientId, agent.permissions, agent.delegations, agent.roles, agent.issuer],
    ["spiffe://authsec.internal/agent/a1", "c1", ["customers:read"], ["d1"], ["support"], ISSUER],
  );
  agent.require("customers:read");
  agent.requireAny("customers:delete", "customers:read");
  assert.throws(
    () => agent.require("customers:read", "customers:delete"),
    (error) => {
      assert.ok(error instanceof InsufficientScope);
      assert.deepEqual([error.status, error.missing], [403, ["customers:delete"]]);
      assert.match(error.challenge, /^Bearer realm=".+", error="insufficient_scope", .*scope="customers:read customers:delete"/);
      assert.match(
        error.grantAt,
        /^https:\/\/authsec\.example\.com\/console\/delegations\/new\?client=c1&role=support&actions=customers%3Adelete/,
      );
      return true;
    },
  );
  assert.throws(() => agent.require(), TypeError);
  assert.throws(() => agent.require("customers:*"), TypeError);
});

test("each wrong token is refused with its reason", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const good = await authority.token();
  const [header, payload, signature] = good.split(".");
  const json = (text) => Buffer.from(text).toString("base64url");
  const { now } = authority.clock;
  const cases = [
    ["nonsense", "token_malformed"],
    ["x".repeat(20_000), "token_too_large"],
    [`${good}=`, "token_malformed"],
    [
      `${header}.${payload}.${signature.slice(0, -1)}${signature.endsWith("A") ? "B" : "A"}`,
      ["token_malformed", "signature_invalid"],
    ],
    [`${json('{"alg":"none","typ":"at+jwt","kid":"signing"}')}.${payload}.AA`, "alg_not_allowed"],
    [`${json('{"alg":"HS256","typ":"at+jwt","kid":"signing"}')}.${payload}.${signature}`, "alg_not_allowed"],
    [`${json('{"alg":"RS256","typ":"at+jwt","kid":"signing"}')}.${payload}.${signature}`, "alg_not_allowed"],
    [
      `${json('{"alg":"ES256","typ":"at+jwt","kid":"signing","kid":"other"}')}.${payload}.${signature}`,
      "token_malformed",
    ],
    [`${header}.${json('{"iss":"a","iss":"b"}')}.${signature}`, "token_malformed"],
    [await authority.token({}, { typ: "JWT" }), "typ_not_allowed"],
    [await authority.token({}, { kid: undefined }), "kid_missing"],
    [await authority.token({}, { jwk: { kty: "EC" } }), "header_not_allowed"],
    [await authority.token({}, { jku: "https://evil.example/jwks" }), "header_not_allowed"],
    [await authority.token({}, {}, "stranger"), "kid_unknown"],
    [await authority.token({}, { kid: "signing" }, "stranger"), "signature_invalid"],
    [await authority.token({ iss: "https://other.example" }), "issuer_mismatch"],
    [await authority.token({ iss: `${ISSUER}/` }), "issuer_mismatch"],
    [await authority.token({ aud: "https://other.example" }), "audience_mismatch"],
    [await authority.token({ cnf: { jkt: "x" } }), "binding_not_supported"],
    [await authority.token({ scope: "customers:delete" }), "scope_mismatch"],
    [await authority.token({ exp: now - 31 }), "token_expired"],
    [await authority.token({ nbf: now + 60 }), "token_not_yet_valid"],
    [await authority.token({ exp: "9999999999" }), "claim_invalid"],
    [await authority.token({ delegation_ids: [] }), "claim_invalid"],
    [await authority.token({ authority_version: true }), "claim_invalid"],
    [await authority.token({ attestation: {} }), "claim_invalid"],
    ...(await Promise.all(
      ["iss", "sub", "client_id", "jti", "permissions", "roles"].map(async (name) => [
        await authority.token({ [name]: undefined }),
        "claim_invalid",
      ]),
    )),
  ];
  for (const [token, reason] of cases) {
    const found = await outcome(verifier, token);
    assert.ok([reason].flat().includes(found), `${found} instead of ${reason}`);
  }
  assert.equal(await outcome(verifier, good), "accepted");
});

test("a request without exactly one bearer token is refused with its challenge", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const token = await authority.token();
  const refused = (value) =>
    verifier.verifyHeader(value).then(
      () => assert.fail("accepted"),
      (error) => [error.status, error.reason, error.challenge],
    );
  const realm = `Bearer realm="${AUDIENCE}"`;
  assert.deepEqual(await refused(undefined), [401, "token_missing", realm]);
  assert.deepEqual(await refused("Basic dXNlcjpwYXNz"), [401, "token_missing", realm]);
  assert.deepEqual((await refused("Bearer ")).slice(0, 2), [400, "invalid_request"]);
  assert.deepEqual((await refused([`Bearer ${token}`, `Bearer ${token}`])).slice(0, 2), [400, "invalid_request"]);
  assert.deepEqual((await refused(`Basic x, Bearer ${token}`)).slice(0, 2), [400, "invalid_request"]);
  assert.match(
    (await refused("Bearer nonsense"))[2],
    /^Bearer realm=".+", error="invalid_token", error_description=".+", reason="token_malformed"$/,
  );
});

test("a token for another API names both APIs, to the caller and once a minute to the operator", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const elsewhere = await authority.token({ aud: ["https://tickets.example.com", "mail\nforged"] });
  for (const wait of [0, 59, 1]) {
    authority.clock.now += wait;
    const error = await verifier.verify(elsewhere).catch((caught) => caught);
    assert.deepEqual(error.body, {
      error: "The token is meant for another API.",
      reason: "audience_mismatch",
      details: `Request a token for this API: resource=${AUDIENCE}. This one is for https://tickets.example.com, mail forged.`,
      retryable: false,
    });
  }
  await outcome(verifier, await authority.token({ aud: "https://a.example" }, { kid: "signing" }, "stranger"));
  await outcome(verifier, await authority.token({ iss: "https://b.example" }));
  const said = authority.warnings.map((text) => text.split(". ")[0]);
  const line = `tokens for another API are refused here: this API is ${AUDIENCE}, the last token was for https://tickets.example.com, mail forged`;
  const other = `tokens of another authority are refused here: this API trusts ${ISSUER}, the last token has the issuer https://b.example (not verified)`;
  assert.deepEqual(said, [line, line, other]);
});

test("a bound token, or one by the scheme DPoP, is refused with a text for the caller and one for the operator", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const refused = (header) => verifier.verifyHeader(header).catch((caught) => caught);
  const bound = await authority.token({ cnf: { jkt: "x".repeat(43) }, client_id: "c2" });
  const stranger = await authority.token({ cnf: { jkt: "x" } }, { kid: "signing" }, "stranger");
  for (const header of [`DPoP ${stranger}`, "DPoP x"]) assert.notEqual((await refused(header)).status, undefined);
  assert.deepEqual(authority.warnings, []);
  for (const header of [`dPoP ${await authority.token()}`, `DPoP ${bound}`, `Bearer ${bound}`]) {
    const { status, body, challenge } = await refused(header);
    assert.deepEqual([status, body.reason], [401, "binding_not_supported"]);
    assert.equal(body.error, "This API accepts no tokens that are bound to a key (DPoP).");
    assert.match(body.details, /^Send Authorization: Bearer <delegation token>, with a token that is not bound to a key/);
    assert.match(challenge, /^Bearer realm=".+", error="invalid_token", .*reason="binding_not_supported"$/);
    assert.doesNotMatch(JSON.stringify(body), /dpop-origin/);
  }
  for (const client of ["c1", "c2"]) {
    const found = authority.warnings.filter((text) => text.includes(`client_id ${client}, jti t1`));
    assert.equal(found.length, 1);
    assert.match(found[0], /^refused a token \(binding_not_supported\): .*authsec verify-server with --dpop-origin/);
  }
  authority.clock.now += 60;
  assert.equal(await outcome(verifier, bound), "binding_not_supported");
  assert.match(authority.warnings.at(-1), /jti t1, and 1 more since the last such line\./);
  assert.deepEqual((await refused(`DPoP ${bound}, Bearer ${bound}`)).status, 400);
  assert.ok(!bound.split(".").some((part) => authority.warnings.join().includes(part)));
});

test("many clients with bound tokens leave few warnings", async () => {
  const [authority, verifier] = authorityAndVerifier();
  for (let number = 0; number < 25; number += 1) {
    await outcome(verifier, await authority.token({ cnf: { jkt: "x" }, client_id: `c${number}` }));
  }
  assert.equal(authority.warnings.length, 20);
});

test("the 403 of a missing action has what a program and a model need, and its challenge names the API", async () => {
  const resourceMetadata = "https://crm.example.com/.well-known/oauth-protected-resource";
  const [authority, verifier] = authorityAndVerifier({ resourceMetadata });
  const agent = await verifier.verify(await authority.token());
  const refused = (check) => {
    try {
      return check();
    } catch (error) {
      return error;
    }
  };
  const error = refused(() => agent.require("customers:delete", "customers:read"));
  const page = error.grantAt;
  assert.match(page, /^https:\/\/authsec\.example\.com\/console\/delegations\/new\?client=.*actions=customers%3Adelete/);
  assert.deepEqual(error.body, {
    error: "This agent's token does not allow customers:delete. The token allows customers:read.",
    reason: "action_not_allowed",
    details:
      "This agent needs a trust delegation that allows customers:delete. Retrying does not help. If no role has such an " +
      "action, this API may have misspelt the action.",
    retryable: false,
    missing_actions: ["customers:delete"],
    granted_actions: ["customers:read"],
    allowed_scope: "customers:read",
    grantable: true,
    grant_at: page,
    for_model:
      `You are not allowed customers:delete at ${AUDIENCE}. Do not try again: continue without it, or tell the person you ` +
      `work for that it can be granted at ${page}.`,
  });
  const beginning = `Bearer realm="${AUDIENCE}", resource_metadata="${resourceMetadata}", error="insufficient_scope"`;
  assert.ok(error.challenge.startsWith(beginning), error.challenge);
  assert.match(refused(() => agent.requireAny("a:b", "c:d")).body.for_model, /^You are not allowed a:b or c:d at /);
});

test("each kind of revocation ends the token that has the subject", async () => {
  const subjects = {
    client: "c1",
    token: "t1",
    delegation: "d1",
    role: sha256("support"),
    proof: "p1",
    source: "s1",
    key: "signing",
  };
  for (const [kind, subject] of Object.entries(subjects)) {
    const [authority, verifier] = authorityAndVerifier();
    const token = await authority.token();
    assert.equal(await outcome(verifier, token), "accepted");
    await until(() => authority.streams.size > 0);
    await authority.end(kind, "another");
    await authority.end(kind, subject, kind === "key" ? 0 : 8);
    await until(async () => (await outcome(verifier, token)) === "token_revoked");
    const later = await authority.token({ authority_version: 8 });
    assert.equal(await outcome(verifier, later), kind === "key" ? "token_revoked" : "accepted");
  }
});

test("a revocation of before is known with the first token", async () => {
  const [authority, verifier] = authorityAndVerifier();
  await authority.end("client", "c1");
  assert.equal(await outcome(verifier, await authority.token()), "token_revoked");
});

test("the feed is told which API follows it", async () => {
  const credential = `authsec_api_${"a".repeat(43)}`;
  const [authority, verifier] = authorityAndVerifier({ credential });
  await verifier.checkReady();
  const { headers } = authority.requests.find(({ path }) => path === "/revocations");
  assert.equal(headers.get("authsec-audience"), AUDIENCE);
  assert.equal(headers.get("authorization"), `Bearer ${credential}`);
  assert.ok(!inspect(verifier, { showHidden: true, depth: 20 }).includes(credential));
  const others = authority.requests.filter(({ path }) => path !== "/revocations");
  assert.deepEqual(others.map(({ headers: sent }) => sent.get("authorization")).filter(Boolean), []);
});

test("an API that hears nothing accepts nothing", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const token = await authority.token();
  assert.equal(await outcome(verifier, token), "accepted");
  authority.clock.now += 29;
  assert.equal(await outcome(verifier, token), "accepted");
  authority.clock.now += 2;
  assert.equal(await outcome(verifier, token), "revocations_unavailable");
  await until(() => authority.streams.size > 0);
  await authority.tell();
  await until(async () => (await outcome(verifier, token)) === "accepted");
});

test("an API that begins without the feed accepts nothing, unless it was told to", async () => {
  for (const [revocations, expected] of [
    ["fail_closed", "revocations_unavailable"],
    ["until_exp", "accepted"],
  ]) {
    const [authority, verifier] = authorityAndVerifier({ revocations });
    authority.metadata = { authsec_revocations_uri: undefined };
    assert.equal(await outcome(verifier, await authority.token()), expected);
  }
});

test("a closed verifier follows no more, whenever it is closed", async () => {
  for (const milliseconds of [undefined, 0, 1, 5, 50]) {
    const [authority, verifier] = authorityAndVerifier();
    await verifier.verify(await authority.token());
    if (milliseconds !== undefined) await new Promise((resolve) => setTimeout(resolve, milliseconds));
    verifier.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(authority.streams.size, 0, `closed after ${milliseconds} ms`);
  }
});

test("where streams are blocked, the feed is read page by page", async () => {
  const [authority, verifier] = authorityAndVerifier();
  authority.servesStreams = false;
  const token = await authority.token();
  assert.equal(await outcome(verifier, token), "accepted");
  await authority.end("client", "c1");
  await until(async () => (await outcome(verifier, token)) === "token_revoked");
});

test("a replayed head does not keep the feed fresh", async () => {
  const [authority, verifier] = authorityAndVerifier();
  const token = await authority.token();
  assert.equal(await outcome(verifier, token), "accepted");
  await until(() => authority.streams.size > 0);
  authority.head = { iat: authority.clock.now };
  authority.clock.now += 31;
  await authority.tell();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await outcome(verifier, token), "revocations_unavailable");
});

test("a batch that was tampered with is refused as a whole", async () => {
  const lies = [
    [{ head: { iss: "https://other.example" } }, /another authority/],
    [{ head: { iat: 1_800_000_000 - 91 } }, /too old/],
    [{ head: { iat: 1_800_000_000 + 31 } }, /in the future/],
    [{ head: { since: 1 } }, /does not start at the end/],
    [{ head: { through: 2 } }, /beyond the end|skips entries/],
    [{ head: { last: 0 } }, /beyond the end/],
    [{ head: { follows: "other" } }, /history/],
    [{ head: { snapshot: 1 } }, /lacks a claim/],
    [{ head: { snapshot: true, through: 0 } }, /lacks its last entry/],
    [{ batch: { entries: [] } }, /do not match its signed head/],
    [{ headKey: "thief" }, /the signature does not verify/],
    [{ headOf: { typ: "at+jwt", kid: "feed" } }, /another type/],
    [{ headOf: { typ: "authsec-revocations+jwt", kid: "other" } }, /does not publish/],
    [{ batch: { head: "nonsense" } }, /is refused/],
  ];
  for (const [lie, expected] of lies) {
    const [authority, verifier] = authorityAndVerifier();
    await authority.end("client", "another");
    Object.assign(authority, lie);
    assert.equal(await outcome(verifier, await authority.token()), "revocations_unavailable", String(expected));
    assert.match(verifier.health().revocations.failure, expected);
  }
});

test("an entry of an unknown kind is refused", async () => {
  const [authority, verifier] = authorityAndVerifier();
  await authority.end("planet", "earth");
  assert.equal(await outcome(verifier, await authority.token()), "revocations_unavailable");
});

test("after a restore of the database, known revocations stay, and new ones are found", async () => {
  const [authority, verifier] = authorityAndVerifier();
  await authority.end("delegation", "another");
  await authority.end("client", "c1");
  const token = await authority.token();
  assert.equal(await outcome(verifier, token), "token_revoked");
  await until(() => authority.streams.size > 0);
  authority.entries = []; // the backup had no entries, and the authority assigns the numbers again
  await authority.end("client", "c2");
  await authority.end("client", "c3");
  await authority.tell();
  const others = await authority.token({ client_id: "c3", jti: "t3" });
  await until(async () => (await outcome(verifier, others)) === "token_revoked");
  assert.equal(await outcome(verifier, token), "token_revoked");
  assert.ok(authority.warnings.some((text) => text.includes("restored database")));
});

test("a key that is published later is found, and invented keys cause few requests", async () => {
  const [authority, verifier] = authorityAndVerifier();
  assert.equal(await outcome(verifier, await authority.token()), "accepted");
  authority.keys.push("next");
  assert.equal(await outcome(verifier, await authority.token({}, {}, "next")), "accepted");
  const before = authority.requests.length;
  for (let number = 0; number < 20; number += 1) {
    assert.equal(
      await outcome(verifier, await authority.token({}, { kid: `invented-${number}` }, "next")),
      "kid_unknown",
    );
  }
  assert.ok(authority.requests.length - before <= 2);
});

test("keys are used while the authority is away, for a day at most", async () => {
  const [authority, verifier] = authorityAndVerifier({ revocations: "until_exp" });
  assert.equal(await outcome(verifier, await authority.token()), "accepted");
  authority.isDown = true;
  authority.clock.now += 3600;
  assert.equal(await outcome(verifier, await authority.token()), "accepted");
  authority.clock.now += 86_400;
  assert.equal(await outcome(verifier, await authority.token()), "keys_unavailable");
});

test("keys of another host or of another issuer are never used", async () => {
  for (const metadata of [
    { jwks_uri: "https://evil.example/jwks" },
    { issuer: "https://evil.example" },
    { jwks_uri: `${ISSUER}.evil.example/jwks` },
  ]) {
    const [authority, verifier] = authorityAndVerifier();
    authority.metadata = metadata;
    const error = await verifier.verify(await authority.token()).catch((caught) => caught);
    const isSetting = "issuer" in metadata; // a retry cannot help
    assert.deepEqual([error.reason, error.retryable], ["keys_unavailable", !isSetting]);
    assert.equal(/must correct the issuer/.test(error.body.details), isSetting);
    assert.ok(!authority.requests.some(({ path }) => path === "/jwks"));
  }
});

test("settings that cannot protect anything are refused", () => {
  const good = { issuer: ISSUER, audience: AUDIENCE };
  const wrong = [
    { issuer: "" },
    { issuer: "http://authsec.example.com" },
    { issuer: "https://authsec.invalid" },
    { audience: " " },
    { leeway: 301 },
    { algorithms: [] },
    { revocations: "fail_open" },
    { staleAfter: 5 },
    { resourceMetadata: "/.well-known/oauth-protected-resource" },
    { credential: "secret" },
    { stale_after: "secret" },
  ];
  for (const change of wrong) {
    assert.throws(
      () => new TokenVerifier({ ...good, ...change }),
      (error) => error instanceof ConfigError && !error.message.includes("secret"),
      inspect(change),
    );
  }
});

test("an unknown setting is named, and one about proofs leads to verify-server", () => {
  const refused = (setting) => {
    let message;
    assert.throws(
      () => new TokenVerifier({ issuer: ISSUER, audience: AUDIENCE, ...setting }),
      (error) => ((message = error.message), error instanceof ConfigError),
    );
    return message;
  };
  assert.match(refused({ audiences: [] }), /no option "audiences"/);
  for (const name of ["dpop_origin", "dpopOrigin", "dpopRequired"]) {
    const message = refused({ [name]: "https://crm.example.com" });
    assert.ok(message.includes(`"${name}"`) && message.includes("authsec verify-server"), message);
  }
});
