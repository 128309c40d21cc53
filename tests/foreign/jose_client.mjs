// jose finds the authority's key set through its metadata and verifies tokens; prints the claims or the error of each.
// The argument is a JSON array; each element is an array of issuer, document, audience, algorithm, token.
import { createRemoteJWKSet, jwtVerify } from "jose";

const outcomes = [];
for (const [issuer, document, audience, algorithm, token] of JSON.parse(process.argv[2])) {
  const metadata = await (await fetch(`${issuer}/.well-known/${document}`)).json();
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  try {
    const verified = await jwtVerify(token, keys, { issuer, audience, algorithms: [algorithm], typ: "at+jwt" });
    outcomes.push({ claims: verified.payload });
  } catch (error) {
    outcomes.push({ error: error.message });
  }
}
console.log(JSON.stringify(outcomes));
