/** The agent's client: `AuthSecClient` returns delegation tokens, from its cache whenever possible. */

import { Authority } from "./authority.js";
import { TokenCache } from "./cache.js";
import { CLOCK } from "./clock.js";
import { defaultSources } from "./credentials.js";
import { mcpFetch } from "./mcp.js";
import { Bearer } from "./outgoing.js";
import { agentSettings, allowedOrigins } from "./settings.js";
import { DelegationToken, tokenRequest } from "./tokens.js";

/**
 * Gets delegation tokens for one agent. Make one client and share it.
 *
 * `new AuthSecClient()` reads its settings from the environment. All methods that request a token throw an `AuthSecError`.
 */
export class AuthSecClient {
  #settings;
  #authority;
  #cache;
  #clock;
  #fetch;
  #warn;

  constructor({ credential, fetch = globalThis.fetch, clock = CLOCK, onWarning = warn, ...settings } = {}) {
    this.#settings = agentSettings(settings);
    const { clientId, timeout, refreshMargin } = this.#settings;
    const sources = credential ? [credential] : defaultSources(clientId);
    this.#authority = new Authority(this.#settings, sources, { fetch, clock });
    const request = (wanted) => this.#authority.requestToken(wanted);
    this.#cache = new TokenCache(request, { clock, margin: refreshMargin, patience: timeout + 0.5, warn: onWarning });
    this.#clock = clock;
    this.#fetch = fetch;
    this.#warn = onWarning;
  }

  /** Return a token for all delegated actions and APIs, as a string. Never let a model call a function that returns it. */
  async getDelegationToken() {
    return (await this.getToken()).value;
  }

  /**
   * Return a `DelegationToken` for some actions (`scope`) or APIs (`resource`).
   *
   * It never has less than requested. After a 401, use `invalidate` rather than `forceRefresh`: then many callers with the
   * same rejected token send only one request.
   */
  getToken({ scope, resource, forceRefresh = false } = {}) {
    return this.#cache.get(scope, resource, forceRefresh);
  }

  /** Drop this token from the cache, for example after an API's 401. The next call then requests a new token. */
  invalidate(token) {
    this.#cache.invalidate(valueOf(token));
  }

  /** Revoke this token at every API that checks revocations, for example at shutdown or after a leak. */
  async revokeToken(token) {
    this.invalidate(token);
    await this.#authority.revoke(valueOf(token));
  }

  /**
   * Return a `fetch` whose requests to `allowedOrigins` carry a token. Requests to other origins carry none.
   *
   * After a 401 the request is sent once more with a new token, unless its body is a stream.
   */
  authorizedFetch(options) {
    const bearer = this.#bearer(options);
    return (input, init) => bearer.fetch(input, init);
  }

  /** Return a `fetch` for the transport of an MCP client. A denied `tools/call` becomes a failed tool, not an exception. */
  mcpFetch(options) {
    return mcpFetch(this.#bearer(options), this.#warn);
  }

  #bearer({ allowedOrigins: names, scope, resource } = {}) {
    const wanted = tokenRequest(scope, resource);
    return new Bearer({
      token: () => this.#cache.get(wanted.scope, wanted.resource.length ? wanted.resource : undefined, false),
      invalidate: (token) => this.invalidate(token),
      origins: allowedOrigins(names, this.#settings.allowHttpHosts),
      fetch: this.#fetch,
      clock: this.#clock,
      warn: this.#warn,
    });
  }
}

function valueOf(token) {
  return token instanceof DelegationToken ? token.value : token;
}

function warn(text) {
  process.emitWarning(text, "AuthSecWarning");
}
