// The client of @modelcontextprotocol/sdk calls tools of protected servers, and prints the answers of each task as JSON.
// The argument is a list of tasks: server, issuer ("" names none), kind of credential, client id, credential, and tools.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

async function answersTo({ server, issuer, kind, client_id: clientId, credential, tools }) {
  const registered = { clientId, expectedIssuer: issuer || undefined };
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
  return answers;
}

const told = [];
for (const task of JSON.parse(process.argv[2])) told.push(await answersTo(task));
console.log(JSON.stringify(told));
process.exit(0); // the transport keeps a stream open
