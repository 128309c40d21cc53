/** What an administrator ends at the real authority is refused by an API in JavaScript. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

import { AuthSecClient, keyFile, TokenVerifier } from "authsec-js";

import { admin, api, delegate, keyedAgent, until, url } from "./authority.js";

test("revocations reach the API while it runs", async () => {
  const verifier = new TokenVerifier({ issuer: url, audience: api });
  try {
    const agents = await Promise.all([1, 2, 3].map(() => keyedAgent()));
    const delegations = [];
    for (const agent of agents) delegations.push(await delegate(agent.clientId));
    const clients = agents.map(
      ({ clientId, key }) => new AuthSecClient({ baseUrl: url, clientId, credential: keyFile(key) }),
    );
    const tokens = await Promise.all(clients.map((client) => client.getDelegationToken()));
    const outcomes = () =>
      Promise.all(
        tokens.map((token) =>
          verifier.verify(token).then(
            () => "accepted",
            (error) => error.reason,
          ),
        ),
      );
    assert.deepEqual(await outcomes(), ["accepted", "accepted", "accepted"]);
    await admin("POST", `delegations/${delegations[0]}/revoke`);
    await until(async () => (await outcomes())[0] === "token_revoked");
    await admin("POST", `clients/${agents[1].clientId}/disable`);
    await until(async () => (await outcomes())[1] === "token_revoked");
    assert.deepEqual(await outcomes(), ["token_revoked", "token_revoked", "accepted"]);
    const { revocations } = verifier.health();
    assert.equal(revocations.failure, undefined);
    assert.ok(revocations.sequence >= 2 && revocations.age < 10);
  } finally {
    verifier.close();
  }
});

/** Run a program with the garbage collector at hand; what it prints. */
async function program(source) {
  const words = ["--expose-gc", "--input-type=module", "--eval", source];
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 30_000 });
  return stdout;
}

test("a closed verifier lets the program end, also after the garbage collector has run", async () => {
  const printed = await program(`
    import { TokenVerifier } from "authsec-js";
    const verifier = new TokenVerifier({ issuer: "${url}", audience: "${api}" });
    await verifier.checkReady();
    for (let second = 0; second < 20; second += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      globalThis.gc();
    }
    verifier.close();
    process.on("exit", () => console.log("ended"));
  `);
  assert.equal(printed, "ended\n");
});
