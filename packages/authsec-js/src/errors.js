/**
 * The errors of this package.
 *
 * Agent frameworks pass an error's text to the model. So no text has a token, a key or a URL with a query, and no error
 * has a `cause`: the errors of HTTP clients contain whole requests.
 */

/** The reasons of a denial that only the agent's operator can fix. */
const OF_THE_SETUP = new Set([
  "client_id_invalid",
  "client_id_missing",
  "client_not_found",
  "invalid_scope",
  "invalid_target",
  "selectors_mismatch",
]);

/**
 * The base class. `reason` is a stable code; `requestId` identifies the request in the authority's audit log.
 *
 * `isOfTheSetup`: only the agent's operator can fix the problem. `forModel` is the text for a model, without names of
 * settings and files.
 */
export class AuthSecError extends Error {
  constructor(reason, message, { details = "", status, requestId, retryable = false, retryAfter } = {}) {
    super(message);
    Object.assign(this, { reason, details, status, requestId, retryable, retryAfter });
  }

  get name() {
    return this.constructor.name;
  }

  get isOfTheSetup() {
    return false;
  }

  get forModel() {
    if (this.isOfTheSetup) return ofTheSetup(this);
    const request = this.requestId ? `, request ${this.requestId}` : "";
    return this.retryable
      ? `The service that grants access is busy (${this.reason}${request}). Try again later.`
      : `The service that grants access refused the request (${this.reason}${request}). Trying again will not help.`;
  }

  /** Return the same error with one more sentence. */
  with(sentence) {
    return Object.assign(new this.constructor(this.reason, `${this.message} ${sentence}`, this), this);
  }
}

/** The program's settings are missing or wrong; nothing was sent. */
export class ConfigError extends AuthSecError {
  get isOfTheSetup() {
    return true;
  }
}

/** The authority could not be reached, or did not answer in time. */
export class TransportError extends AuthSecError {
  /** A retry helps against an outage, but not against a wrong address or certificate. */
  get isOfTheSetup() {
    return !this.retryable;
  }

  get forModel() {
    if (this.isOfTheSetup) return ofTheSetup(this);
    return `The service that grants access cannot be reached (${this.reason}). Try again later.`;
  }
}

/** A server answered, but its response is not one of an AuthSec authority. */
export class InvalidResponse extends AuthSecError {
  get isOfTheSetup() {
    return true;
  }
}

/** The authority refused the token request. */
export class TokenRequestError extends AuthSecError {}

/** The authority did not accept a proof of the agent's identity. */
export class AuthenticationError extends TokenRequestError {
  get isOfTheSetup() {
    return true;
  }
}

/** No delegation to this agent covers the request, or the delegation has ended. */
export class DelegationDenied extends TokenRequestError {
  missingActions = [];
  allowedScope = "";
  grantAt;

  get isOfTheSetup() {
    return OF_THE_SETUP.has(this.reason);
  }

  get forModel() {
    if (this.isOfTheSetup) return ofTheSetup(this);
    const smaller = this.allowedScope ? ` The delegation allows ${this.allowedScope}.` : "";
    const person = this.grantAt ? ` The person you work for can grant it at ${this.grantAt}.` : "";
    return `${this.message}${smaller}${person}`;
  }
}

/** 429: too many requests. `retryAfter` is in seconds, if the authority sent it. */
export class RateLimited extends TokenRequestError {}

/** 5xx: the authority cannot issue tokens at the moment. */
export class ServerError extends TokenRequestError {}

/**
 * The base class of the errors of `TokenVerifier`. The API's caller may read the text and `details`.
 *
 * `status` is the status of the API's response, and `challenge` its header `WWW-Authenticate` (RFC 6750 §3), if the
 * response needs one.
 */
export class VerificationError extends AuthSecError {
  #parameters;
  #space = {};

  constructor(reason, message, { parameters, ...facts } = {}) {
    super(reason, message, facts);
    this.#parameters = parameters;
  }

  get forModel() {
    return this.retryable
      ? `The API cannot verify this agent's token right now (${this.reason}). Try again later.`
      : `The API did not accept this agent's token (${this.reason}). Trying again will not help.`;
  }

  /** Name the API in the challenge: `realm`, and the URL of its protected resource metadata (RFC 9728 §5.1), if any. */
  inSpace({ realm, resourceMetadata }) {
    this.#space = { realm, ...(resourceMetadata && { resource_metadata: resourceMetadata }) };
    return this;
  }

  /** The JSON body of the API's response. It does not say why tokens cannot be verified: the caller may be a stranger. */
  get body() {
    const error = this.status >= 500 ? "Tokens cannot be verified right now." : this.message;
    return { error, reason: this.reason, details: this.details, retryable: this.retryable };
  }

  get challenge() {
    if (this.#parameters === undefined) return undefined;
    // RFC 6750 §3 allows these characters; the others could end the quoted string or the header.
    const quoted = Object.entries({ ...this.#space, ...this.#parameters }).map(
      ([name, value]) => `${name}="${value.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, "?")}"`,
    );
    return `Bearer ${quoted.join(", ")}`.trimEnd();
  }
}

/** 401: the token is not valid for this API. */
export class InvalidToken extends VerificationError {
  constructor(reason, message, { details, retryable } = {}) {
    const parameters = reason === "token_missing" ? {} : { error: "invalid_token", error_description: message, reason };
    super(reason, message, { details, retryable, status: 401, parameters });
  }
}

/** 400: the request's Authorization header is empty or ambiguous. */
export class InvalidRequest extends VerificationError {
  constructor(message) {
    const details = "Send one header: Authorization: Bearer <delegation token>.";
    const parameters = { error: "invalid_request", error_description: message };
    super("invalid_request", message, { details, status: 400, parameters });
  }
}

/**
 * 403: the token is valid but lacks a required action. `missing` lists the actions, and `allowed` the required actions that
 * the token has. `forModel` is the text for a model.
 */
export class InsufficientScope extends VerificationError {
  #forModel;

  constructor({ required, granted, anyOf = false, grantAt, audience = [] }) {
    const missing = required.filter((action) => !granted.includes(action));
    const wanted = missing.join(anyOf ? " or " : " and ");
    const message = `This agent's token does not allow ${wanted}. The token allows ${granted.join(", ") || "nothing"}.`;
    const details =
      `This agent needs a trust delegation that allows ${wanted}. Retrying does not help. If no role has such an action, ` +
      "this API may have misspelt the action.";
    const scope = (anyOf ? required.slice(0, 1) : required).join(" ");
    const page = grantAt ? { error_uri: grantAt } : {};
    const parameters = { error: "insufficient_scope", error_description: message, scope, ...page };
    super("action_not_allowed", message, { details, status: 403, parameters });
    const allowed = required.filter((action) => granted.includes(action));
    const where = audience.length === 1 ? `at ${audience[0]}` : "here"; // with several audiences, the API is not known
    this.#forModel =
      `You are not allowed ${wanted} ${where}. Do not try again: continue without it, or tell the person you work for that ` +
      `it can be granted${grantAt ? ` at ${grantAt}` : ""}.`;
    Object.assign(this, { required, granted, missing, allowed, grantAt });
  }

  get forModel() {
    return this.#forModel;
  }

  get body() {
    return {
      ...super.body,
      missing_actions: this.missing,
      granted_actions: this.granted,
      allowed_scope: this.allowed.join(" "),
      grantable: true,
      grant_at: this.grantAt ?? null,
      for_model: this.forModel,
    };
  }
}

/** 503: the API cannot verify any token at the moment. Only the API's log names the cause. */
export class VerificationUnavailable extends VerificationError {
  constructor(reason, message, { details, retryAfter, retryable = true }) {
    super(reason, message, { details, retryAfter, retryable, status: 503 });
  }
}

/** The authority's key set cannot be fetched. Not `retryable` if the authority's metadata name another issuer. */
export class KeysUnavailable extends VerificationUnavailable {}

/** Recent revocations cannot be fetched, so a token that looks valid may be revoked. */
export class RevocationsUnavailable extends VerificationUnavailable {}

function ofTheSetup(error) {
  const request = error.requestId ? `, request ${error.requestId}` : "";
  const retry = error.retryable ? "Retrying may help." : "Retrying will not help.";
  return (
    `This agent is not set up as its authority expects (${error.reason}${request}). The agent's log tells its operator ` +
    `what to do. ${retry}`
  );
}
