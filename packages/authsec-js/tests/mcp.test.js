/** The client of the MCP SDK calls the tool of a server that our verifier protects, until its delegation ends. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { AuthSecClient, keyFile, TokenVerifier, VerificationError } from "authsec-js";

import { admin, api, delegate, keyedAgent, until, url } from "./authority.js";

let server;
let verifier;
let address;

before(async () => {
  verifier = new TokenVerifier({ issuer: url, audience: api });
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${server.address().port}/mcp`;
});

after(() => {
  verifier.close();
  server.close();
  server.closeAllConnections();
});

async function answer(request, response) {
  try {
    const agent = await verifier.verifyHeader(request.headers.authorization);
    const mcp = new McpServer({ name: "crm", version: "1.0.0" });
    mcp.registerTool("show", {}, () => ({ content: [{ type: "text", text: `Ada, for ${agent.clientId}` }] }));
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    await mcp.connect(transport);
    agent.require("customers:read");
    await transport.handleRequest(request, response);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    response.writeHead(error.status, error.challenge && { "www-authenticate": error.challenge }).end(error.message);
  }
}

async function connected(agent, more = {}) {
  const authsec = new AuthSecClient({
    baseUrl: url,
    clientId: agent.clientId,
    credential: keyFile(agent.key),
    ...more,
  });
  const fetch = authsec.mcpFetch({ allowedOrigins: new URL(address).origin });
  const client = new Client({ name: "agent", version: "1.0.0" });
  await client.connect(new StreamableHTTPClientTransport(new URL(address), { fetch }));
  return { authsec, client };
}

const text = ({ content: [first], isError = false }) => [isError, first.text];

test("a tool answers, and after a revocation the model reads why it does not", async () => {
  const agent = await keyedAgent();
  const delegation = await delegate(agent.clientId);
  const { authsec, client } = await connected(agent);
  assert.deepEqual(text(await client.callTool({ name: "show" })), [false, `Ada, for ${agent.clientId}`]);

  await admin("POST", `delegations/${delegation}/revoke`);
  const token = await authsec.getDelegationToken();
  await until(async () => (await verifier.verify(token).catch((error) => error.reason)) === "token_revoked");
  const [isError, told] = text(await client.callTool({ name: "show" }));
  assert.ok(isError);
  assert.match(told, /^The delegations of this agent have expired or were revoked\./);

  await delegate(agent.clientId);
  assert.deepEqual(text(await client.callTool({ name: "show" })), [false, `Ada, for ${agent.clientId}`]);
  await client.close();
});

test("the model reads which action the server misses", async () => {
  const agent = await keyedAgent();
  await delegate(agent.clientId, { actions: ["customers:list"] });
  const authsec = new AuthSecClient({ baseUrl: url, clientId: agent.clientId, credential: keyFile(agent.key) });
  const call = { jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "show" } };
  const fetch = authsec.mcpFetch({ allowedOrigins: new URL(address).origin });
  const { id, result } = await (await fetch(address, { method: "POST", body: JSON.stringify(call) })).json();
  assert.deepEqual([id, result.isError], [7, true]);
  const [{ text: told }] = result.content;
  assert.match(
    told,
    /^The MCP server answered 403 \(insufficient_scope\)\. .*needs the action customers:read\. .*can grant it at http/,
  );
  const listed = await fetch(address, { method: "POST", body: JSON.stringify({ ...call, method: "tools/list" }) });
  assert.equal(listed.status, 403);
});

test("an outage of the authority is no denial", async () => {
  const agent = await keyedAgent();
  await delegate(agent.clientId);
  let isCut = false;
  const fetch = async (input, init) => {
    if (isCut && String(input).startsWith(url))
      throw Object.assign(new TypeError(), { cause: { code: "ECONNREFUSED" } });
    return globalThis.fetch(input, init);
  };
  const { authsec, client } = await connected(agent, { fetch, timeout: 0.3 });
  authsec.invalidate(await authsec.getToken());
  isCut = true;
  await assert.rejects(client.callTool({ name: "show" }), { name: "TransportError", reason: "unreachable" });
  await client.close();
});
