// openid-client calls an API with a token that is bound to a new key (DPoP, RFC 9449); prints the statuses of two requests,
// the body of the first, the status of a request with the token alone, and the thumbprint of the key. Arguments: issuer,
// client id, client secret, the API's URL.
import { calculateJwkThumbprint, exportJWK } from "jose";
import {
  allowInsecureRequests, ClientSecretPost, clientCredentialsGrant, discovery, fetchProtectedResource, getDPoPHandle,
  randomDPoPKeyPair,
} from "openid-client";

const [issuer, id, secret, url] = process.argv.slice(2);
const options = { algorithm: "oauth2", execute: [allowInsecureRequests] };
const config = await discovery(new URL(issuer), id, undefined, ClientSecretPost(secret), options);
const keyPair = await randomDPoPKeyPair();
const DPoP = getDPoPHandle(config, keyPair);
const { access_token: token } = await clientCredentialsGrant(config, { scope: "customers:read" }, { DPoP });
const answers = [];
for (const each of [url, `${url}?page=2`]) {
  answers.push(await fetchProtectedResource(config, token, new URL(each), "GET", undefined, undefined, { DPoP }));
}
const stolen = await fetch(url, { headers: { authorization: `DPoP ${token}` } });
const jkt = await calculateJwkThumbprint(await exportJWK(keyPair.publicKey));
const statuses = answers.map((answer) => answer.status);
console.log(JSON.stringify({ statuses, body: await answers[0].json(), stolen: stolen.status, jkt }));
