// A real OpenID Connect provider for the tests: `node server.mjs ACCOUNTS`.
//
// Listens on a free port of loopback and prints its issuer. ACCOUNTS is a JSON file, claims by login, read again at each
// sign-in. Any password will do. Ends when its standard input ends, so that it never outlives the tests.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const accounts = process.argv[2];
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const CALLBACK = 'http://127.0.0.1/console/sign-in/callback'; // a native client's loopback port is free (RFC 8252)

function client(name, method, alg = 'RS256') {
  return {
    client_id: name,
    ...(method === 'none' ? {} : { client_secret: 'not a secret: a+b%c:d' }),
    application_type: 'native',
    redirect_uris: [CALLBACK],
    token_endpoint_auth_method: method,
    id_token_signed_response_alg: alg,
  };
}

function key(use, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: use, use: 'sig' };
}

function claimsOf(login) {
  return JSON.parse(readFileSync(accounts, 'utf8'))[login];
}

const configuration = {
  clients: [
    client('authsec', 'client_secret_basic'),
    client('authsec-post', 'client_secret_post'),
    client('authsec-public', 'none'),
    ...ALGORITHMS.map((alg) => client(`authsec-${alg}`, 'client_secret_basic', alg)),
  ],
  // Roles are in the ID token; what belongs to the other scopes is told by userinfo only (OpenID Connect Core 5.4).
  claims: { openid: ['sub', 'roles', 'realm_access'], email: ['email', 'email_verified'], profile: ['name'] },
  cookies: { keys: ['of a provider that lives for a test run'] },
  enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
  jwks: {
    keys: [
      key('rsa', 'rsa', { modulusLength: 2048 }),
      key('ec', 'ec', { namedCurve: 'P-256' }),
      key('ed', 'ed25519', {}),
    ],
  },
  findAccount(_context, login) {
    if (claimsOf(login) === undefined) return undefined;
    return { accountId: login, claims: () => ({ sub: login, ...claimsOf(login) }) };
  },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.use(async (context, next) => {
    await next();
    if (typeof context.body === 'string') {
      context.body = context.body.replace(/@import [^;]*;/, ''); // fonts of a host that tests do not reach
    }
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.on('end', () => process.exit()).resume();
