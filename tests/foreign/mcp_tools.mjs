// The client of @modelcontextprotocol/sdk calls tools of a protected server, and prints each answer as JSON.
// Arguments: server, issuer, kind of credential, client id, credential, and the tools.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [server, issuer, kind, clientId, credential, ...tools] = process.argv.slice(2);
const registered = { clientId, expectedIssuer: issuer };
const authProvider =
  kind === "secret"
    ? new ClientCredentialsProvider({ ...registered, clientSecret: credential })
    : new PrivateKeyJwtProvider({ ...registered, privateKey: credential, algorithm: "ES256" });

const answers = [];
try {
  const client = new Client({ name: "stock", version: "1.0.0" });
  await client.connect(new StreamableHTTPClientTransport(new URL(server), { authProvider }));
  for (const name of tools) {
    const result = await client.callTool({ name, arguments: { customer: "42" } });
    answers.push(result.content[0].text);
  }
} catch (error) {
  answers.push(`refused: ${error.errorCode ?? ""} ${error.message}`);
}
console.log(JSON.stringify(answers));
process.exit(0); // the transport keeps a stream open
