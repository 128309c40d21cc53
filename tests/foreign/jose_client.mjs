// jose finds the authority's key set through its metadata and verifies a token; prints the token's claims.
// Arguments: issuer, document, audience, algorithm, token.
import { createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, document, audience, algorithm, token] = process.argv.slice(2);
const metadata = await (await fetch(`${issuer}/.well-known/${document}`)).json();
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
try {
  const verified = await jwtVerify(token, keys, { issuer, audience, algorithms: [algorithm], typ: "at+jwt" });
  console.log(JSON.stringify(verified.payload));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
