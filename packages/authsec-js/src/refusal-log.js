/** The operator's log: tokens that this API refuses, and token requests that fail because of the agent's setup. */

import { moment, since } from "./clock.js";
import { plain } from "./safe-text.js";

const PAUSE = 60; // the least seconds between two warnings of the same kind
const MOST_LINES = 20; // the most warnings of one limit in these seconds
const LONGEST = 300; // the most characters of a name in a warning

export const FOR_ANOTHER_API = (ours, named) =>
  `tokens for another API are refused here: this API is ${ours}, the last token was for ${named}. Either the agent requests ` +
  "the wrong API (resource=), or the verifier's audience is not this API's identifier";
export const OF_ANOTHER_AUTHORITY = (ours, named) =>
  `tokens of another authority are refused here: this API trusts ${ours}, the last token has the issuer ${named} (not ` +
  "verified). Either the agent's AUTHSEC_BASE_URL or the verifier's issuer is wrong";

/** Warns at most once a minute, with the expected name and the name in the refused token. */
export class MismatchLog {
  #line;
  #clock;
  #warn;
  #said;

  constructor(line, { clock, warn }) {
    this.#line = line;
    this.#clock = clock;
    this.#warn = warn;
  }

  note(ours, named) {
    if (since(this.#said, this.#clock) < PAUSE) return;
    this.#said = moment(this.#clock);
    this.#warn(this.#line(plain(ours, LONGEST), plain(named, LONGEST)));
  }
}

/** Limits warnings: one a minute for each key, and `MOST_LINES` for all keys. */
class LineLimit {
  #clock;
  #began;
  // The number of events after each warning: in the current minute, and in the minute of the last warning before.
  #counts = new Map();
  #earlier = new Map();

  constructor(clock) {
    this.#clock = clock;
  }

  /** Count an event. Return the number of events since the key's last warning; undefined if this event gets none. */
  eventsSinceLine(key) {
    if (since(this.#began, this.#clock) >= PAUSE) {
      this.#began = moment(this.#clock);
      this.#earlier = this.#counts;
      this.#counts = new Map();
    }
    const count = this.#counts.get(key);
    if (count !== undefined) this.#counts.set(key, count + 1);
    if (count !== undefined || this.#counts.size >= MOST_LINES) return undefined;
    this.#counts.set(key, 0);
    return this.#earlier.get(key) ?? 0;
  }
}

/** Warns of token requests that fail until the operator corrects the agent's setup: for each reason once a minute. */
export class SetupLog {
  #limit;
  #warn;

  constructor({ clock, warn }) {
    this.#limit = new LineLimit(clock);
    this.#warn = warn;
  }

  note({ reason, message }) {
    const more = this.#limit.eventsSinceLine(reason);
    if (more === undefined) return;
    const repeated = more ? ` ${more} more since the last such line.` : "";
    this.#warn(`the agent gets no token (${reason}): ${message}${repeated}`);
  }
}

/**
 * Warns of refused tokens that are bound to a key: for each reason and client once a minute.
 *
 * Only a valid token leads to a warning. A thief who repeats a request must not flood the log, and an agent with a wrong
 * setting must not hide the thief of another agent's token.
 */
export class BoundTokenLog {
  #audience;
  #limit;
  #warn;

  constructor(audience, { clock, warn }) {
    this.#audience = audience;
    this.#limit = new LineLimit(clock);
    this.#warn = warn;
  }

  /** Warn of a token whose signature is verified. The text has no token. `hint` may name settings of the API. */
  note({ reason, message }, clientId, jti, hint) {
    const more = this.#limit.eventsSinceLine(JSON.stringify([reason, clientId]));
    if (more === undefined) return;
    const [api, client, token] = [this.#audience, clientId, jti].map((name) => plain(name, LONGEST));
    const repeated = more ? `, and ${more} more since the last such line` : "";
    this.#warn(
      `refused a token (${reason}): API ${api}, client_id ${client}, jti ${token}${repeated}. ${message} ${hint}`,
    );
  }
}
