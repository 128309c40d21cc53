// openid-client gets a token that is bound to a new key (DPoP, RFC 9449); prints token, type and thumbprint of the key,
// and the error of a request without DPoP. Arguments: issuer, client id, client secret.
import { calculateJwkThumbprint, exportJWK } from "jose";
import {
  allowInsecureRequests, ClientSecretPost, clientCredentialsGrant, discovery, getDPoPHandle, randomDPoPKeyPair,
} from "openid-client";

const [issuer, id, secret] = process.argv.slice(2);
const options = { algorithm: "oauth2", execute: [allowInsecureRequests] };
const config = await discovery(new URL(issuer), id, undefined, ClientSecretPost(secret), options);
const keyPair = await randomDPoPKeyPair();
const DPoP = getDPoPHandle(config, keyPair);
const answer = await clientCredentialsGrant(config, { scope: "customers:read" }, { DPoP });
const error = await clientCredentialsGrant(config).then((granted) => granted.token_type, (refused) => refused.error);
const jkt = await calculateJwkThumbprint(await exportJWK(keyPair.publicKey));
console.log(JSON.stringify({ token: answer.access_token, type: answer.token_type, jkt, error }));
