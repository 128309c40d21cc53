/** The agent's client: `AuthSecClient` returns delegation tokens, from its cache whenever possible. */

import { Authority } from "./authority.js";
import { TokenCache } from "./cache.js";
import { CLOCK, warn } from "./clock.js";
import { defaultSources } from "./credentials.js";
import { ProofKey } from "./dpop.js";
import { mcpFetch } from "./mcp.js";
import { authorizedFetch } from "./outgoing.js";
import { SetupLog } from "./refusal-log.js";
import { agentSettings, originsIn } from "./settings.js";
import { DelegationToken, tokenRequest } from "./tokens.js";

/**
 * Gets delegation tokens for one agent. Make one client and share it.
 *
 * `new AuthSecClient()` reads its settings from the environment. All methods that request a token throw an `AuthSecError`.
 */
export class AuthSecClient {
  #allowHttpHosts;
  #authority;
  #cache;
  #key;
  #around;
  #ofTheSetup;

  constructor({ credential, fetch = globalThis.fetch, clock = CLOCK, onWarning = warn, ...settings } = {}) {
    const complete = agentSettings(settings);
    const { clientId, timeout, refreshMargin, dpop, allowHttpHosts } = complete;
    const sources = credential ? [credential] : defaultSources(clientId);
    this.#allowHttpHosts = allowHttpHosts;
    this.#key = dpop ? new ProofKey(clock) : undefined;
    this.#around = { fetch, clock, warn: onWarning };
    this.#authority = new Authority(complete, sources, { key: this.#key, fetch, clock });
    this.#ofTheSetup = new SetupLog(this.#around);
    const request = (wanted) => this.#noting(() => this.#authority.requestToken(wanted));
    this.#cache = new TokenCache(request, { clock, margin: refreshMargin, patience: timeout + 0.5, warn: onWarning });
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
  async getToken({ scope, resource, forceRefresh = false } = {}) {
    const wanted = await this.#noting(() => tokenRequest(scope, resource));
    return this.#cache.get(wanted, forceRefresh);
  }

  /** Write an error of the agent's setup to the log, because `forModel` refers to the log. */
  async #noting(step) {
    try {
      return await step();
    } catch (error) {
      if (error?.isOfTheSetup) this.#ofTheSetup.note(error);
      throw error;
    }
  }

  /** Return the headers of one request with this token. A proof of the key (DPoP) is valid for one request. */
  async headers(token, method, url) {
    const authorization = `${token.tokenType} ${token.value}`;
    if (this.#key === undefined) return { authorization };
    return { authorization, dpop: await this.#key.proof(method, url, { token: token.value }) };
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
  authorizedFetch({ allowedOrigins, scope, resource } = {}) {
    const wanted = tokenRequest(scope, resource);
    return authorizedFetch({
      getToken: () => this.#cache.get(wanted, false),
      invalidate: (token) => this.invalidate(token),
      headersOf: (token, method, url) => this.headers(token, method, url),
      origins: originsIn(allowedOrigins, this.#allowHttpHosts),
      ...this.#around,
    });
  }

  /**
   * Return a `fetch` for the transport of an MCP client. A denied `tools/call` becomes a failed tool, not an exception.
   *
   * Tokens that the server echoes are removed from its responses.
   */
  mcpFetch(options) {
    return mcpFetch(this.authorizedFetch(options));
  }
}

function valueOf(token) {
  return token instanceof DelegationToken ? token.value : token;
}
