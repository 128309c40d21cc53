/**
 * Turns the authority's error responses into errors.
 *
 * A framework passes an error's text to the model. So the text consists of sentences of this module, one for each
 * `reason`. From the response it contains only the request id and `details`, cleaned and shortened.
 */

import {
  AuthenticationError,
  DelegationDenied,
  InvalidResponse,
  RateLimited,
  ServerError,
  TokenRequestError,
} from "./errors.js";
import { plain } from "./safe-text.js";
import { parseObject } from "./strict-json.js";

const LONGEST_DETAILS = 400;

const SENTENCES = {
  invalid_request: "The authority does not understand the request.",
  unsupported_grant_type: "The authority does not support the grant of the request.",
  client_id_invalid: "The authority does not accept this agent's client_id. `authsec agents list` shows it.",
  invalid_scope: "The requested actions are malformed.",
  invalid_target: "The requested actions are not delegated to this agent for the requested API.",
  rate_limited: "The authority gets too many requests.",
  attestation_required: "The authority requires this agent to authenticate.",
  attestation_invalid: "The authority did not accept this agent's proof.",
  client_disabled: "An administrator has disabled this agent.",
  no_delegation: "Nothing is currently delegated to this agent.",
  delegation_ended: "The delegations of this agent have expired or were revoked.",
  action_not_allowed: "The request has more actions than are delegated to this agent.",
  proof_not_accepted: "The delegation does not accept this kind of proof.",
  invalid_dpop_proof: "The authority did not accept the proof of the key to which tokens are bound (DPoP).",
  unavailable: "The authority cannot issue tokens right now.",
};
const NOT_NAMED = "This agent has delegations for several APIs, so the API must be named by resource.";
const BUSY = new Set([429, 500, 502, 503, 504]); // Load balancers send these statuses too, with pages of their own.
const OF_THE_REQUEST = new Set(["invalid_request", "unsupported_grant_type", "invalid_dpop_proof"]);
const SCOPE = /^(?=.{1,4000}$)[a-z0-9._-]{1,63}:[a-z0-9._-]{1,63}( [a-z0-9._-]{1,63}:[a-z0-9._-]{1,63})*$/;
const PAGE = /^https?:\/\/[A-Za-z0-9.:-]{1,253}\/[A-Za-z0-9._~/?=&%-]{0,1200}$/;
const ROOT = "Check AUTHSEC_BASE_URL. It should be the server's root, like https://YOUR-AUTHORITY, without /authsec.";

/** Return the response's body as a JSON object. Throws `InvalidResponse`. */
export function jsonObject(answer) {
  const { body } = answer;
  return parseObject(body, { maxBytes: body.length, refuse: () => notAnAuthority(answer) });
}

/** Return the error for a refused request. `namesApi` is whether the request named an API. */
export function refusal(answer, now, { namesApi = true } = {}) {
  const { status, headers } = answer;
  const body = errorBody(answer);
  const isBusy = BUSY.has(status);
  if (!isBusy && (body === undefined || ![400, 401, 403].includes(status))) return notAnAuthority(answer);
  const usual = { 429: "rate_limited" }[status] ?? (isBusy ? "unavailable" : `http_${status}`);
  const reason = /^[a-z][a-z0-9_]{0,63}$/.test(body?.reason ?? "") ? body.reason : usual;
  const isUnnamed = reason === "invalid_target" && !namesApi;
  const sentence = SENTENCES[reason] ?? SENTENCES[usual] ?? "The authority refused the request.";
  // The details of `attestation_required` explain how to send a proof, and this package does so itself.
  const isDetailed = typeof body?.details === "string" && reason !== "attestation_required";
  const details = isDetailed ? plain(body.details, LONGEST_DETAILS) : "";
  const id = requestId(body);
  const text =
    body === undefined
      ? `A server answered with status ${status}, but not like an AuthSec authority.`
      : [isUnnamed ? NOT_NAMED : sentence, details, id && `(request ${id})`].filter(Boolean).join(" ");
  const error = new (kindOf(status, reason))(reason, text, {
    details,
    status,
    requestId: id,
    retryable: isBusy || body.retryable === true,
    retryAfter: isBusy ? retryAfter(headers.get("retry-after"), now) : undefined,
  });
  if (error instanceof DelegationDenied) addNextSteps(error, body);
  return error;
}

/** Return the error for a response that no AuthSec authority would send. */
export function notAnAuthority({ status, headers }) {
  if (status >= 300 && status < 400) {
    const [target] = /^https?:\/\/[A-Za-z0-9.:-]{1,253}(?=\/|$)/.exec(headers.get("location") ?? "") ?? [
      "another address",
    ];
    const why = "Redirects are not followed, because they would send this agent's proof there.";
    return new InvalidResponse("redirected", `The address redirects to ${target}. ${why} ${ROOT}`, { status });
  }
  const what = `A server answered (status ${status}), but it is not the root of an AuthSec authority.`;
  return new InvalidResponse("invalid_response", `${what} ${ROOT}`, { status });
}

function kindOf(status, reason) {
  if (status === 429) return RateLimited;
  if (BUSY.has(status)) return ServerError;
  if (OF_THE_REQUEST.has(reason)) return TokenRequestError;
  return status === 401 && reason !== "client_disabled" ? AuthenticationError : DelegationDenied;
}

/** Return the authority's error body. Another server's body has no reason with a request id; its text would mislead. */
function errorBody(answer) {
  let body;
  try {
    body = jsonObject(answer);
  } catch {
    return undefined;
  }
  if (typeof body.error !== "string" || typeof body.reason !== "string") return undefined;
  const isWhole = typeof body.retryable === "boolean" && requestId(body) !== undefined;
  const isKnown = body.reason in SENTENCES || (isWhole && !["not_found", "method_not_allowed"].includes(body.reason));
  return isKnown ? body : undefined;
}

/** Copy what would satisfy the authority into the error. A model reads it, so each value must be well formed. */
function addNextSteps(denied, { missing_actions: missing, allowed_scope: allowed, grant_at: page }) {
  if (Array.isArray(missing) && missing.every((action) => typeof action === "string" && SCOPE.test(action)))
    denied.missingActions = missing;
  if (typeof allowed === "string" && SCOPE.test(allowed)) denied.allowedScope = allowed;
  if (typeof page === "string" && PAGE.test(page)) denied.grantAt = page;
}

function requestId(body) {
  const id = body?.request_id;
  return typeof id === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(id) ? id : undefined;
}

/** Return the seconds of a Retry-After header, which is a number or a date (RFC 9110 §10.2.3). */
function retryAfter(header, now) {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header);
  const at = Date.parse(header) / 1000;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
