// The client of @modelcontextprotocol/sdk connects to a protected server, and prints why it could not.
// Arguments: server, issuer ("" names none), kind of credential, client id, credential.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [server, issuer, kind, clientId, credential] = process.argv.slice(2);
const registered = { clientId, expectedIssuer: issuer || undefined };
const authProvider =
  kind === "secret"
    ? new ClientCredentialsProvider({ ...registered, clientSecret: credential })
    : new PrivateKeyJwtProvider({ ...registered, privateKey: credential, algorithm: "ES256" });

try {
  const client = new Client({ name: "stock", version: "1.0.0" });
  await client.connect(new StreamableHTTPClientTransport(new URL(server), { authProvider }));
  console.log("connected");
} catch (error) {
  console.log(`${error.name} ${error.errorCode ?? ""}: ${error.message}`);
}
