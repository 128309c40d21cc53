/** One authority's revocations: verify a batch of the feed, apply it, and find out whether a token is revoked. */

import { createHash } from "node:crypto";

import { moment, since } from "./clock.js";
import { canonical, isObject, parseObject } from "./strict-json.js";
import { JwsRefused, parseJws, verifySignature } from "./jws.js";

export const MOST_BYTES = 4 * 1024 * 1024; // about 25,000 entries
const OLDEST_HEAD = 60; // seconds
const LEEWAY = 30; // seconds by which the clocks of authority and API may differ
const KEPT = 7 * 86_400 + 3600; // seconds: no authority issues tokens for more than seven days
const BETWEEN_CLEARINGS = 3600;
const KINDS = new Set(["client", "delegation", "role", "proof", "source", "key", "token"]);

/** A batch of the feed is not valid, so none of its entries is applied. The text is safe to show. */
export class BatchRefused extends Error {}

/**
 * Applies batches in order, and measures the age of the known revocations.
 *
 * The age is the time since the newest signed head that reported no further entries. A repeated head does not reset the
 * age, and the delay of a late head is added. So an attacker who delays or replays batches makes the feed stale.
 */
export class Feed {
  #issuer;
  #keys;
  #clock;
  #warn;
  #reached = { sequence: 0, digest: "" };
  #endings = new Map();
  #revokedKeys = 0;
  #signedAt = 0; // the newest head's time, by the authority's clock
  #fresh;
  #cleared = 0;

  constructor(issuer, { keys, clock, warn }) {
    this.#issuer = issuer;
    this.#keys = keys;
    this.#clock = clock;
    this.#warn = warn;
  }

  /** The number of the last entry that was applied. */
  get sequence() {
    return this.#reached.sequence;
  }

  get revokedKeys() {
    return this.#revokedKeys;
  }

  /** The seconds since the feed was last complete; Infinity if it never was. */
  get age() {
    return since(this.#fresh, this.#clock);
  }

  /** Whether a token with these subjects, issued under this authority version, is revoked. */
  isRevoked(subjects, version) {
    return subjects.some((subject) => version < (this.#endings.get(subject)?.below ?? -1));
  }

  /** Verify and apply a batch; return whether the feed is complete after it. Throws `BatchRefused` or `KeysUnavailable`. */
  async take(octets) {
    const now = this.#clock.wall();
    const batch = await this.#read(octets, now);
    this.#checkHistory(batch);
    this.#apply(batch);
    const isComplete = batch.through === batch.last;
    if (isComplete && batch.iat > this.#signedAt) {
      this.#signedAt = batch.iat;
      const late = Math.max(0, now - batch.iat - LEEWAY);
      const { monotonic, wall } = moment(this.#clock);
      this.#fresh = { monotonic: monotonic - late, wall: wall - late };
    }
    return isComplete;
  }

  async #read(octets, now) {
    const refuse = (why) => new BatchRefused(`a batch is not strict JSON: ${why}`);
    const document = parseObject(octets, { maxBytes: MOST_BYTES, refuse });
    if (!Array.isArray(document.entries)) throw new BatchRefused("a batch has no list of entries");
    const head = await this.#verifyHead(document.head);
    this.#checkHead(head, now);
    if (head.entries_sha256 !== digestOf(document.entries))
      throw new BatchRefused("the entries of a batch do not match its signed head");
    const batch = { ...head, entries: document.entries.map(entryOf), latest: document.entries.at(-1) };
    const problem = disorderOf(batch, this.sequence);
    if (problem !== undefined) throw new BatchRefused(problem);
    return batch;
  }

  async #verifyHead(text) {
    try {
      const jws = parseJws(text, MOST_BYTES);
      if (String(jws.header.typ).toLowerCase() !== "authsec-revocations+jwt")
        throw new BatchRefused("the head of a batch is a JWT of another type");
      const key = await this.#keys.find(jws.header.kid);
      if (key === undefined)
        throw new BatchRefused("the head of a batch is signed with a key that the feed does not publish");
      await verifySignature(jws, key, ["EdDSA"]);
      return jws.claims;
    } catch (error) {
      if (error instanceof JwsRefused) throw new BatchRefused(`the head of a batch is refused: ${error.message}`);
      throw error;
    }
  }

  #checkHead(head, now) {
    if (head.iss !== this.#issuer) throw new BatchRefused("the head of a batch is from another authority");
    const isWhole = ["iat", "since", "through", "last"].every((name) => isCount(head[name]));
    if (!isWhole || typeof head.snapshot !== "boolean" || typeof head.follows !== "string")
      throw new BatchRefused("the head of a batch lacks a claim");
    const late = now - head.iat;
    // The attack: somebody sends an old batch again to hide newer revocations.
    if (late > OLDEST_HEAD + LEEWAY || late < -LEEWAY) {
      const when = late > 0 ? "is too old" : "has a time in the future";
      throw new BatchRefused(`the head of a batch ${when}: synchronise the clocks of the authority and the API`);
    }
  }

  /**
   * Refuse a batch that does not follow the entry that was read last, as after a restore of the authority's database.
   *
   * The feed is then read again from its beginning. Known revocations stay in force.
   */
  #checkHistory(batch) {
    if (batch.snapshot || batch.follows === this.#reached.digest) return;
    this.#warn(
      `the history of the feed of ${this.#issuer} changed, as after a restored database: it is read again from the beginning`,
    );
    this.#reached = { sequence: 0, digest: "" };
    throw new BatchRefused("the history of the feed was replaced; the feed is read again from the beginning");
  }

  /** Merge the batch with the known revocations: a revocation is never taken back. */
  #apply(batch) {
    for (const { subject, isKey, below, at } of batch.entries) {
      const known = this.#endings.get(subject) ?? { below: 0, at: 0 };
      if (isKey && !this.#endings.has(subject)) this.#revokedKeys += 1;
      this.#endings.set(subject, { isKey, below: Math.max(below, known.below), at: Math.max(at, known.at) });
    }
    const digest = batch.latest === undefined ? batch.follows : digestOf(batch.latest);
    this.#reached = { sequence: batch.through, digest };
    if (batch.iat - this.#cleared < BETWEEN_CLEARINGS) return;
    this.#cleared = batch.iat;
    for (const [subject, ending] of this.#endings) {
      // A thief of a key can sign tokens at any time, so a revoked key is never forgotten.
      if (!ending.isKey && ending.at < batch.iat - KEPT) this.#endings.delete(subject);
    }
  }
}

/** Return the subjects of a token with these verified claims: if one of them is revoked, the token is revoked. */
export function subjectsOf(claims, kid) {
  const { attestation } = claims;
  return [
    subject("client", claims.client_id),
    subject("token", claims.jti),
    subject("key", kid),
    ...claims.delegation_ids.map((id) => subject("delegation", id)),
    ...claims.roles.map((role) => subject("role", sha256(role))),
    ...["proof", "source"]
      .filter((kind) => attestation[kind] !== undefined)
      .map((kind) => subject(kind, attestation[kind])),
  ];
}

export function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Return how the entries are not those that follow the entry `asked`; undefined if they are. */
function disorderOf({ entries, snapshot, since: from, through, last }, asked) {
  const numbers = entries.map((entry) => entry.sequence);
  if (through > last) return "a batch goes beyond the end of the feed";
  if (snapshot) {
    const isOrdered = numbers.every((number, index) => index === 0 || number > numbers[index - 1]);
    if (!isOrdered) return "the entries of a snapshot are not in order";
    return through === (numbers.at(-1) ?? 0) ? undefined : "a snapshot lacks its last entry";
  }
  if (from !== asked) return "a batch does not start at the end of the previous one";
  const isWhole = numbers.every((number, index) => number === from + 1 + index) && through === from + numbers.length;
  return isWhole ? undefined : "a batch skips entries";
}

/** Read one entry, and ignore its unknown members. */
function entryOf(value) {
  const { kind, subject: id, sequence, version, at: text } = isObject(value) ? value : {};
  // With an unknown kind, this API would still accept the revoked tokens.
  if (!KINDS.has(kind)) throw new BatchRefused("an entry is of a kind that this version of authsec-js does not know");
  const at = typeof text === "string" && /(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) / 1000 : NaN;
  if (typeof id !== "string" || id === "" || !isCount(sequence) || !isCount(version) || Number.isNaN(at))
    throw new BatchRefused("an entry lacks its subject, sequence, version or time");
  const isKey = kind === "key";
  // The attack: a thief of the key writes a high version into a token.
  return { sequence, subject: subject(kind, id), isKey, below: isKey ? Infinity : version, at };
}

function subject(kind, id) {
  return `${kind} ${id}`;
}

function digestOf(published) {
  return sha256(canonical(published));
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}
