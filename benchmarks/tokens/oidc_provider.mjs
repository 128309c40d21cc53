// An OpenID provider to compare with: signed JWT access tokens for client credentials, and nothing stored.
//
//     node oidc_provider.mjs PORT WORKERS
import cluster from "node:cluster";
import http from "node:http";
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const workers = Number(process.argv[3] ?? 2);

if (cluster.isPrimary) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = JSON.stringify({ ...privateKey.export({ format: "jwk" }), kid: "key-1", alg: "RS256", use: "sig" });
  for (let number = 0; number < workers; number++) cluster.fork({ KEY: key });
} else {
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: [JSON.parse(process.env.KEY)] },
    clients: [{ client_id: "agent", client_secret: "secret-of-the-agent", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] }],
    scopes: ["customers:read"],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://api.example",
        getResourceServerInfo: () => ({ scope: "customers:read", accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } }, accessTokenTTL: 3600 }),
      },
    },
    cookies: { keys: ["not used"] },
    ttl: { ClientCredentials: 3600 },
  });
  http.createServer(provider.callback()).listen(port, "127.0.0.1");
}
