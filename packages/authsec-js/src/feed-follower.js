/** Follows the authority's feed of revocations: as a stream of events, or page by page where a proxy blocks streams. */

import { setTimeout as sleep } from "node:timers/promises";

import { addressOf, DocumentRefused, getDocument } from "./documents.js";
import { KeysUnavailable } from "./errors.js";
import { OpenRequest, transportError } from "./http.js";
import { BatchRefused, MOST_BYTES } from "./revocations.js";

const PAGE = 1000; // entries
const POLL_PAUSE = 1; // seconds between two pages, if streams do not work
const STREAM_AGAIN = 60; // seconds after which a stream is tried again
const STREAM_SOON = 5; // the same, if the authority had too many streams
const SILENCE = 10; // seconds; the authority sends a message every five seconds
const CUT_TOO_OFTEN = 3; // streams in a row that ended within SILENCE seconds, probably by a proxy
const SHORTEST_PAUSE = 0.1;
const LONGEST_PAUSE = 2;
const PATIENCE = 5; // seconds that the first caller waits for the feed
const KNOWN = [DocumentRefused, BatchRefused, KeysUnavailable];

const isKnown = (error) => KNOWN.some((kind) => error instanceof kind);

/** The server answers without a stream, or the stream is silent or repeatedly interrupted. */
class StreamUnavailable extends Error {
  constructor(message, pause = STREAM_AGAIN) {
    super(message);
    this.pause = pause;
  }
}

export class FeedFollower {
  #issuer;
  #feed;
  #fetch;
  #headers;
  #clock;
  #warn;
  #stop = new AbortController();
  #settled; // a promise: the first try has succeeded or failed
  #settle;
  #isSettled = false;
  #isRunning = false;
  #address;
  #pagesUntil = 0;
  #cut = 0;
  #failure;

  /** `headers` are sent with each request to the feed. */
  constructor(issuer, feed, { fetch, headers, clock, warn }) {
    this.#issuer = issuer;
    this.#feed = feed;
    this.#fetch = fetch;
    this.#headers = headers;
    this.#clock = clock;
    this.#warn = warn;
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** The reason of the last failure; undefined if the last try succeeded. */
  get failure() {
    return this.#failure;
  }

  /** Follow the feed from now on, and wait for the first try, for some seconds at most. */
  async settle() {
    if (!this.#isRunning && !this.#stop.signal.aborted) {
      this.#isRunning = true;
      void this.#follow();
    }
    if (this.#isSettled) return;
    const timer = new AbortController();
    await Promise.race([this.#settled, sleep(PATIENCE * 1000, undefined, { signal: timer.signal }).catch(() => {})]);
    timer.abort();
  }

  /** Stop following. The connection is closed. */
  close() {
    this.#stop.abort();
  }

  async #follow() {
    let tries = 0;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#once();
        tries = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#fail(error);
        const pause = Math.min(LONGEST_PAUSE, SHORTEST_PAUSE * 2 ** Math.min(tries, 10));
        await this.#wait(pause * (0.5 + Math.random() / 2));
        tries += 1;
      }
    }
  }

  async #once() {
    if (!this.#isSettled) return this.#catchUp(); // A page works even where streams are blocked.
    if (this.#clock.monotonic() < this.#pagesUntil) {
      await this.#catchUp();
      return this.#wait(POLL_PAUSE);
    }
    try {
      return await this.#stream();
    } catch (error) {
      if (!(error instanceof StreamUnavailable)) throw error;
      this.#pagesUntil = this.#clock.monotonic() + error.pause;
    }
  }

  async #catchUp() {
    const address = await this.#find();
    const options = { headers: this.#headers, mostBytes: MOST_BYTES };
    let isComplete = false;
    while (!isComplete && !this.#stop.signal.aborted) {
      const url = `${address}?since=${this.#feed.sequence}&limit=${PAGE}`;
      isComplete = await this.#take(await getDocument(this.#fetch, url, options));
    }
    this.#address = address;
  }

  async #stream() {
    const address = await this.#find();
    const began = this.#clock.monotonic();
    for await (const message of this.#messages(`${address}?since=${this.#feed.sequence}`)) {
      await this.#take(message);
      this.#address = address; // It was right, so use it again if the stream is interrupted.
    }
    this.#cut = this.#clock.monotonic() - began < SILENCE ? this.#cut + 1 : 0;
    if (this.#cut < CUT_TOO_OFTEN) throw new DocumentRefused("the feed's stream ended");
    this.#cut = 0;
    throw new StreamUnavailable("the feed's stream is interrupted repeatedly");
  }

  /** Yield the data of each event `batch` (HTML §9.2.6), until the server ends the stream. */
  async *#messages(url) {
    const open = new OpenRequest();
    const silent = new StreamUnavailable(`the feed sent no complete message for ${SILENCE} seconds`);
    const interrupt = () => open.interrupt(silent);
    const timer = setTimeout(interrupt, SILENCE * 1000).unref();
    this.#stop.signal.addEventListener("abort", interrupt);
    if (this.#stop.signal.aborted) interrupt();
    try {
      const headers = { ...this.#headers, accept: "text/event-stream", "cache-control": "no-cache" };
      const response = await open.send(this.#fetch, url, { headers, redirect: "error" });
      if (response.status !== 200 || !/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
        await response.body?.cancel();
        const pause = [429, 503].includes(response.status) ? STREAM_SOON : STREAM_AGAIN;
        throw new StreamUnavailable(`the feed answered ${response.status}`, pause);
      }
      const lines = { rest: "", event: "", data: [], length: 0 };
      const decoder = new TextDecoder("utf-8", { fatal: true });
      for await (const piece of open.pieces(response)) {
        for (const message of messagesIn(decoder.decode(piece, { stream: true }), lines)) {
          yield Buffer.from(message);
          timer.refresh();
        }
      }
    } catch (error) {
      if (error instanceof StreamUnavailable || isKnown(error)) throw error;
      throw new DocumentRefused(`the feed cannot be followed: ${transportError(error, new URL(url).host).message}`);
    } finally {
      clearTimeout(timer);
      this.#stop.signal.removeEventListener("abort", interrupt);
    }
  }

  async #take(octets) {
    const isComplete = await this.#feed.take(octets);
    if (isComplete) {
      if (this.#failure !== undefined) this.#warn(`the revocations of ${this.#issuer} are followed again`);
      this.#failure = undefined;
      this.#finishSettling();
    }
    return isComplete;
  }

  #fail(error) {
    const inside = `following the feed failed inside the program (${error?.constructor?.name})`;
    const why = isKnown(error) ? error.message : inside;
    if (why !== this.#failure) this.#warn(`the revocations of ${this.#issuer} cannot be followed: ${why}`);
    this.#failure = why;
    this.#finishSettling();
  }

  #finishSettling() {
    this.#isSettled = true;
    this.#settle();
  }

  /** Return the address of the feed. After a failure, look it up again. */
  async #find() {
    const address = this.#address ?? (await addressOf(this.#fetch, this.#issuer, "authsec_revocations_uri"));
    this.#address = undefined;
    return address;
  }

  async #wait(seconds) {
    await sleep(seconds * 1000, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
  }
}

/** Yield the data of each message that ends in `piece`. `lines` keeps what is unfinished. */
function* messagesIn(piece, lines) {
  const all = (lines.rest + piece).split("\n");
  lines.rest = all.pop();
  for (const line of all) {
    const [, name, value] = /^([^:\r]*):? ?(.*?)\r?$/s.exec(line);
    if (line === "" || line === "\r") {
      if (lines.event === "batch" && lines.data.length > 0) yield lines.data.join("\n");
      Object.assign(lines, { event: "", data: [], length: 0 });
    } else if (name === "event") {
      lines.event = value;
    } else if (name === "data") {
      lines.data.push(value);
      lines.length += value.length;
    }
  }
  if (lines.length + lines.rest.length > MOST_BYTES)
    throw new DocumentRefused(`a message of the feed is larger than ${MOST_BYTES} bytes`);
}
