/**
 * How an agent authenticates at the token endpoint: sources of proof, asked in order.
 *
 * A source returns a proof, or undefined if it has none. It throws `ConfigError`, with the remedy, for a proof that
 * cannot be used, so a configured proof is never skipped silently. Files are read for each proof: a key can be replaced
 * while the agent runs. `KEY`, token and secret leave this module only in the form for the authority.
 */

import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint, SignJWT } from "jose";

import { ConfigError } from "./errors.js";
import { plain } from "./safe-text.js";
import { environment } from "./settings.js";
import { parseObject } from "./strict-json.js";
import { COMPACT_JWS } from "./tokens.js";

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:";
const ASSERTION_LIFE = 60; // seconds: an assertion is sent once, immediately
const MOST_BYTES = 16_384; // The authority refuses longer tokens.
const PROJECTED = "/var/run/secrets/authsec/token";
const EC_ALGORITHMS = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };
// No file name has 256 characters.
const SECRET = /eyJ[\w-]*\.[\w-]*\.|-----BEGIN|authsec_cs_|[^/\\]{256}|[\r\n]/;

/** A private key in a PEM file that only its owner may read. The proof is `private_key_jwt` (RFC 7523 §2.2). */
export function keyFile(path, foundBy = "credential") {
  return {
    lookedAt: () => `the key file ${path}`,
    async proof({ clientId, issuer, now }) {
      const key = privateKey(path, await readProof(path, "key file", foundBy, { isPrivate: true, mostBytes: 65_536 }));
      const jwk = createPublicKey(key).export({ format: "jwk" });
      const assertion = await new SignJWT({
        iss: clientId,
        sub: clientId,
        aud: await issuer(), // the issuer alone: another authority could make a client sign any other audience
        jti: randomBytes(16).toString("base64url"),
        iat: Math.floor(now),
        exp: Math.floor(now) + ASSERTION_LIFE,
      })
        .setProtectedHeader({
          alg: algorithmOf(path, key),
          typ: "client-authentication+jwt",
          kid: await calculateJwkThumbprint(jwk),
        })
        .sign(key);
      return {
        form: { client_assertion_type: `${ASSERTION_TYPE}jwt-bearer`, client_assertion: assertion },
        source: `key file ${path} (${foundBy})`,
        ifRefused:
          "Check that the file has the key of this agent, and that `issuer` or AUTHSEC_ISSUER, if set, is the authority's.",
      };
    },
  };
}

/** A file with one line: a JWT that a platform made for this workload. The platform renews the file. */
export function tokenFile(path, foundBy = "credential") {
  return {
    namesItself: true, // the authority finds the client by this token alone (RFC 7523 §2.1)
    lookedAt: () => `the token file ${path}`,
    async proof({ clientId, audience }) {
      // The kubelet writes files of mode 0644, so the permissions are not checked.
      const read = await readProof(path, "token file", foundBy, { isPrivate: false, mostBytes: MOST_BYTES + 2 });
      const text = read.toString("latin1").trim();
      const claims = claimsOf(text);
      if (claims === undefined) {
        throw broken(
          `The token file ${path} does not contain a token: one line is expected, a JWT of at most ${MOST_BYTES} bytes.`,
        );
      }
      const wanted = await audience();
      const audiences = [claims.aud].flat().filter((each) => typeof each === "string");
      if (!audiences.includes(wanted)) {
        throw broken(
          `The token in ${path} has the audience ${plain(audiences.join(", "), 120) || "(none)"}, so this authority would ` +
            `refuse it. The token must have the audience ${plain(wanted, 200)}. If the trusted issuer needs another ` +
            "audience, set AUTHSEC_PROOF_AUDIENCE.",
        );
      }
      const type = String(claims.sub).startsWith("spiffe://") ? "jwt-spiffe" : "jwt-bearer";
      return {
        form: { client_id: clientId, client_assertion_type: ASSERTION_TYPE + type, client_assertion: text },
        source: `token file ${path} (${foundBy})`,
        ifRefused:
          "Check that the issuer of this token is a trusted issuer, and that the token matches a proof on the agent's page.",
      };
    },
  };
}

/** A file with one line: the client secret. It is the weakest proof, and the last resort. */
export function secretFile(path, foundBy = "credential") {
  return {
    lookedAt: () => `the secret file ${path}`,
    async proof({ clientId }) {
      const read = await readProof(path, "secret file", foundBy, { isPrivate: true, mostBytes: 1024 });
      const text = read.toString("latin1").trim();
      if (!/^authsec_cs_[A-Za-z0-9_-]{49}$/.test(text)) {
        throw broken(
          `The secret file ${path} does not contain a client secret: one line is expected, which begins with authsec_cs_.`,
        );
      }
      return {
        form: { client_id: clientId, client_secret: text },
        source: `secret file ${path} (${foundBy})`,
        ifRefused: "Check that the file has this agent's secret, and that the secret was not rotated.",
      };
    },
  };
}

/** Return the sources for an agent without an explicit credential, in the order of use. */
export function defaultSources(clientId) {
  const key = join(process.env.XDG_CONFIG_HOME || join(homedir(), ".config"), "authsec", "keys", `${clientId}.pem`);
  return [
    named("AUTHSEC_WORKLOAD_TOKEN_FILE", tokenFile),
    named("AUTHSEC_AGENT_KEY_FILE", keyFile),
    ifPresent(PROJECTED, tokenFile(PROJECTED, "the pod's projected volume")),
    ifPresent(key, keyFile(key, "found by the clientId")),
    named("AUTHSEC_AGENT_SECRET_FILE", secretFile),
  ];
}

function named(variable, source) {
  const path = environment(variable);
  return path ? source(path, variable) : { lookedAt: () => `${variable} (not set)`, proof: async () => undefined };
}

function ifPresent(path, source) {
  return {
    lookedAt: () => `${path} (no such file)`,
    async proof(request) {
      // A broken link was meant to be the proof.
      const isThere = await lstat(path).then(
        () => true,
        (error) => !["ENOENT", "ENOTDIR"].includes(error.code),
      );
      return isThere ? source.proof(request) : undefined;
    },
  };
}

/** Read a regular file, and never a pipe: a pipe may never end. Throws `ConfigError`, which quotes nothing from the file. */
async function readProof(path, what, foundBy, { isPrivate, mostBytes }) {
  if (SECRET.test(path)) {
    throw broken(
      `${foundBy} must name the file of the token or key, but seems to be the secret itself. Write the secret to a file ` +
        "that only this user can read, and name that file. Others may have seen the secret: replace it.",
    );
  }
  let file;
  try {
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = await file.stat();
    if (!status.isFile()) throw broken(`${path} is not a file: name the ${what}.`);
    if (isPrivate && process.platform !== "win32" && status.mode & 0o077) {
      throw broken(
        `The ${what} ${path} can be read by other users of this machine, so it is not used. Run:\n    chmod 600 ${path}`,
      );
    }
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(mostBytes), position: 0 });
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (error.code === "ENOENT")
      throw broken(`There is no file ${path}${foundBy.startsWith("AUTHSEC_") ? `, which ${foundBy} names` : ""}.`);
    throw broken(`The ${what} ${path} cannot be read (${error.code}).`);
  } finally {
    await file?.close();
  }
}

function privateKey(path, content) {
  try {
    return createPrivateKey(content);
  } catch {
    throw broken(
      `The key file ${path} cannot be used. The file must contain a private key in PEM without a password, as ` +
        "`authsec keygen` writes it.",
    );
  }
}

function algorithmOf(path, key) {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  const algorithm = {
    rsa: modulusLength >= 2048 ? "RS256" : undefined,
    ec: EC_ALGORITHMS[namedCurve],
    ed25519: "EdDSA",
  }[key.asymmetricKeyType];
  if (algorithm === undefined)
    throw broken(`The key in ${path} is not RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519.`);
  return algorithm;
}

/** Return the unverified claims of a workload's token; undefined if the text cannot be a token. */
function claimsOf(text) {
  if (text.length > MOST_BYTES || !COMPACT_JWS.test(text)) return undefined;
  try {
    return parseObject(Buffer.from(text.split(".")[1], "base64url"), { refuse: Error });
  } catch {
    return undefined;
  }
}

function broken(message) {
  return new ConfigError("credential_broken", message);
}
