/**
 * A `fetch` for the transport of an agent's MCP client (`StreamableHTTPClientTransport(url, { fetch })`).
 *
 * A denial of `tools/call` becomes the result of a failed tool, whose text the model reads. An outage is no denial. Tokens
 * that the server echoes are removed from each response.
 */

import { AuthenticationError, DelegationDenied } from "./errors.js";
import { plain } from "./safe-text.js";
import { safeResponse, withoutTokens } from "./redaction.js";
import { isObject } from "./strict-json.js";

export function mcpFetch(fetch) {
  return async (input, init) => {
    const call = toolCall(init);
    try {
      const response = await fetch(input, init);
      if (call === undefined || ![401, 403].includes(response.status)) return safeResponse(response);
      await response.body?.cancel();
      return failedTool(call, saidByServer(response));
    } catch (error) {
      if (call === undefined || !(error instanceof AuthenticationError || error instanceof DelegationDenied))
        throw error;
      return failedTool(call, error.forModel);
    }
  };
}

/** Return the JSON-RPC message of a `tools/call`; undefined for any other request. */
function toolCall(init) {
  if (typeof init?.body !== "string") return undefined;
  try {
    const message = JSON.parse(init.body);
    return isObject(message) && message.method === "tools/call" && message.id !== undefined ? message : undefined;
  } catch {
    return undefined;
  }
}

function failedTool({ id }, text) {
  // Protocol version 2026-07-28 requires `resultType`. Earlier versions allow further members.
  const result = { content: [{ type: "text", text }], isError: true, resultType: "complete" };
  return Response.json({ jsonrpc: "2.0", id, result });
}

/** Describe the server's refusal by its challenge (RFC 6750 §3). */
function saidByServer(response) {
  const challenge = withoutTokens(response.headers.get("www-authenticate") ?? "");
  const found = Object.fromEntries(
    [...challenge.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, text]) => [
      name,
      plain(text, name === "error_uri" ? 1300 : 200),
    ]),
  );
  const said = [
    `The MCP server answered ${response.status} (${found.error ?? "refused"}).`,
    found.error_description,
    found.scope && `The call needs the action ${found.scope}.`,
    found.error_uri && `The person you work for can grant it at ${found.error_uri}.`,
    response.status === 401 && "The next call will use a new token.",
  ];
  return said.filter(Boolean).join(" ");
}
