// A real OpenID Connect provider for the tests: `node server.mjs ACCOUNTS`.
//
// Listens on a free port of loopback and prints its issuer. ACCOUNTS is a JSON file, claims by login, read again at each
// sign-in. Any password will do. Ends when its standard input ends, so that it never outlives the tests.
//
// The client `ci` stands for the jobs of a CI system: by its client credentials it gets JWTs for any audience, with the
// claims that ACCOUNTS has for it. A line on standard input has the provider sign with new keys, and forget the old ones.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const accounts = process.argv[2];
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
let serial = 0;
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

function key(kid, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig' };
}

function keys() {
  serial += 1;
  return [
    key(`rsa-${serial}`, 'rsa', { modulusLength: 2048 }),
    key(`ec-${serial}`, 'ec', { namedCurve: 'P-256' }),
    key(`ed-${serial}`, 'ed25519', {}),
  ];
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
    {
      ...client('ci', 'client_secret_basic'),
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
  ],
  // Roles are in the ID token; what belongs to the other scopes is told by userinfo only (OpenID Connect Core 5.4).
  claims: { openid: ['sub', 'roles', 'realm_access'], email: ['email', 'email_verified'], profile: ['name'] },
  cookies: { keys: ['of a provider that lives for a test run'] },
  enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
  extraTokenClaims: (_context, token) => claimsOf(token.clientId),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, audience) => ({
        audience,
        scope: '',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  // As CI systems head their tokens: access tokens of this provider say that they are such.
  formats: {
    customizers: {
      jwt: (_context, _token, parts) => {
        parts.header = { typ: 'JWT' };
      },
    },
  },
  findAccount(_context, login) {
    if (claimsOf(login) === undefined) return undefined;
    return { accountId: login, claims: () => ({ sub: login, ...claimsOf(login) }) };
  },
};

function providerOf(issuer) {
  const provider = new Provider(issuer, { ...configuration, jwks: { keys: keys() } });
  provider.use(async (context, next) => {
    await next();
    if (typeof context.body === 'string') {
      context.body = context.body.replace(/@import [^;]*;/, ''); // fonts of a host that tests do not reach
    }
  });
  return provider.callback();
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  let answer = providerOf(issuer);
  server.on('request', (request, response) => answer(request, response));
  process.stdin.on('data', () => {
    answer = providerOf(issuer);
    console.log('rotated');
  });
  console.log(issuer);
});
process.stdin.on('end', () => process.exit()).resume();
