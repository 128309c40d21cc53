/** The key to which an agent's tokens are bound (DPoP, RFC 9449): new in each process, and never outside of it. */

import { createHash, randomBytes } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";

export class ProofKey {
  #clock;
  #pair;

  constructor(clock) {
    this.#clock = clock;
  }

  /** The key's thumbprint (RFC 7638), as `cnf.jkt` of its tokens has it. */
  async thumbprint() {
    return calculateJwkThumbprint((await this.#keys()).jwk);
  }

  /** Sign a new proof for one request. `token` is the token that the request carries. */
  async proof(method, url, { nonce, token } = {}) {
    const { privateKey, jwk } = await this.#keys();
    const ath = token && createHash("sha256").update(token).digest("base64url");
    const jti = randomBytes(16).toString("base64url");
    const htu = String(url).split(/[?#]/, 1)[0];
    return new SignJWT({ jti, htm: method, htu, iat: Math.floor(this.#clock.wall()), nonce, ath })
      .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk })
      .sign(privateKey);
  }

  async #keys() {
    this.#pair ??= generateKeyPair("ES256").then(async ({ privateKey, publicKey }) => {
      return { privateKey, jwk: await exportJWK(publicKey) };
    });
    return this.#pair;
  }
}
