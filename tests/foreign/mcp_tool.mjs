// The client of @modelcontextprotocol/sdk calls a tool of a protected server; prints its answer or the error.
// Arguments: server, issuer, kind of credential, client id, credential, name of the tool.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [server, issuer, kind, clientId, credential, tool] = process.argv.slice(2);
const registered = { clientId, expectedIssuer: issuer };
const authProvider =
  kind === "secret"
    ? new ClientCredentialsProvider({ ...registered, clientSecret: credential })
    : new PrivateKeyJwtProvider({ ...registered, privateKey: credential, algorithm: "ES256" });
const client = new Client({ name: "stock", version: "1.0.0" });
try {
  await client.connect(new StreamableHTTPClientTransport(new URL(server), { authProvider }));
  const { content } = await client.callTool({ name: tool, arguments: {} });
  console.log(content[0].text);
  await client.close();
} catch (error) {
  console.log(`${error.name} ${error.errorCode ?? error.code ?? ""}: ${error.message}`);
}
process.exit();
