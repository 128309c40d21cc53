// openid-client reads the authority's metadata and asks for a token; prints the code of the refusal.
// Arguments: issuer, discovery algorithm ("oauth2" or "oidc").
import { allowInsecureRequests, clientCredentialsGrant, discovery } from "openid-client";

const [issuer, algorithm] = process.argv.slice(2);
const options = { algorithm, execute: [allowInsecureRequests] };
const authority = await discovery(new URL(issuer), "stock", "not a secret", undefined, options);
try {
  await clientCredentialsGrant(authority);
} catch (error) {
  console.log(error.error, error.status);
}
