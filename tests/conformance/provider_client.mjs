// A client under test: the MCP SDK with the provider of authsec-js. The argument is the server.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { keyFile, mcpAuthProvider, tokenFile } from "authsec-js";

const server = new URL(process.argv[2]);
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT);
const file = join(mkdtempSync(join(tmpdir(), "authsec-")), "credential");
writeFileSync(file, context.private_key_pem ?? context.valid_jwt, { mode: 0o600 });
const metadata = await fetch(new URL(`/.well-known/oauth-protected-resource${server.pathname}`, server));
const [issuer] = (await metadata.json()).authorization_servers; // each run of the suite has another one
// A workload has only its own token, and knows no client_id.
const credential = context.valid_jwt
  ? { credential: tokenFile(file) }
  : { clientId: context.client_id, credential: keyFile(file) };
const authProvider = mcpAuthProvider({ issuer, ...credential });
const client = new Client({ name: "agent", version: "1.0.0" });
await client.connect(new StreamableHTTPClientTransport(server, { authProvider }));
await client.listTools();
process.exit();
