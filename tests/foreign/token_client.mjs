// openid-client or oauth4webapi gets tokens from the authority; prints the token or the error of each request.
// Arguments: the library; the issuer and the requests, as JSON.
import { importPKCS8 } from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const [library, argument] = process.argv.slice(2);
const [issuer, requests] = JSON.parse(argument);

async function authentication(module, { method, secret }) {
  if (method === "private_key_jwt") return module.PrivateKeyJwt(await importPKCS8(secret, "ES256"));
  if (method === "jwt-bearer") return module.None();
  return { client_secret_basic: module.ClientSecretBasic, client_secret_post: module.ClientSecretPost }[method](secret);
}

function parameters({ method, secret, scope, resource }) {
  const wanted = { scope, resource, assertion: method === "jwt-bearer" ? secret : "" };
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
}

const ask = {
  "openid-client": async (request) => {
    const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
    const authenticate = await authentication(openid, request);
    const authority = await openid.discovery(new URL(issuer), request.client_id, undefined, authenticate, options);
    return request.method === "jwt-bearer"
      ? openid.genericGrantRequest(authority, JWT_BEARER, parameters(request))
      : openid.clientCredentialsGrant(authority, parameters(request));
  },
  oauth4webapi: async (request) => {
    const options = { algorithm: "oauth2", [oauth.allowInsecureRequests]: true };
    const discovered = await oauth.discoveryRequest(new URL(issuer), options);
    const authority = await oauth.processDiscoveryResponse(new URL(issuer), discovered);
    const client = { client_id: request.client_id };
    const sent = [authority, client, await authentication(oauth, request)];
    if (request.method === "jwt-bearer") {
      const response = await oauth.genericTokenEndpointRequest(...sent, JWT_BEARER, parameters(request), options);
      return oauth.processGenericTokenEndpointResponse(authority, client, response);
    }
    const response = await oauth.clientCredentialsGrantRequest(...sent, parameters(request), options);
    return oauth.processClientCredentialsResponse(authority, client, response);
  },
};

const outcomes = [];
for (const request of requests) {
  try {
    outcomes.push({ token: (await ask[library](request)).access_token });
  } catch (error) {
    // A refusal of Basic authentication also has a challenge (RFC 6749 section 5.2), which these libraries report first.
    outcomes.push({ error: error.error ?? error.code ?? String(error) });
  }
}
console.log(JSON.stringify(outcomes));
