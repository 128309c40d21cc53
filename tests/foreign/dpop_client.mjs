// openid-client gets tokens that are bound to new keys (DPoP, RFC 9449), and calls an API with each. The argument is a list
// of tasks: issuer, client_id, secret and url. Prints for each: token, type, thumbprint of the key, the error of a request
// without DPoP, the statuses of two calls, the body of the first, and the status of a call with the token alone.
import { calculateJwkThumbprint, exportJWK } from "jose";
import {
  allowInsecureRequests, ClientSecretPost, clientCredentialsGrant, discovery, fetchProtectedResource, getDPoPHandle,
  randomDPoPKeyPair,
} from "openid-client";

const told = [];
for (const { issuer, client_id: id, secret, url } of JSON.parse(process.argv[2])) {
  const options = { algorithm: "oauth2", execute: [allowInsecureRequests] };
  const config = await discovery(new URL(issuer), id, undefined, ClientSecretPost(secret), options);
  const keyPair = await randomDPoPKeyPair();
  const DPoP = getDPoPHandle(config, keyPair);
  const answer = await clientCredentialsGrant(config, { scope: "customers:read" }, { DPoP });
  const error = await clientCredentialsGrant(config).then((granted) => granted.token_type, (refused) => refused.error);
  const token = answer.access_token;
  const answers = [];
  for (const each of [url, `${url}?page=2`]) {
    answers.push(await fetchProtectedResource(config, token, new URL(each), "GET", undefined, undefined, { DPoP }));
  }
  const stolen = await fetch(url, { headers: { authorization: `DPoP ${token}` } });
  const jkt = await calculateJwkThumbprint(await exportJWK(keyPair.publicKey));
  const statuses = answers.map((each) => each.status);
  const body = await answers[0].json();
  told.push({ token, type: answer.token_type, jkt, error, statuses, body, stolen: stolen.status });
}
console.log(JSON.stringify(told));
