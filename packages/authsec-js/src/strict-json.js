/**
 * Strict JSON (RFC 8259 with the rules of I-JSON, RFC 7493).
 *
 * If two parsers read the same text differently, they can disagree about permissions. `JSON.parse` accepts a repeated
 * name and takes its last value; other parsers take the first.
 */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]|-?\d[\d.eE+-]*/g;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class StrictJsonError extends Error {}

/** Parse the bytes. Throws `StrictJsonError`, whose text never quotes the bytes. */
export function parseStrictly(bytes, { maxBytes = 16_384, maxDepth = 8 } = {}) {
  if (bytes.length > maxBytes) throw new StrictJsonError(`longer than ${maxBytes} bytes`);
  let text;
  let value;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw new StrictJsonError("not JSON in UTF-8");
  }
  check(text, maxDepth);
  return value;
}

/** Parse the bytes as a JSON object. Throws `StrictJsonError`. */
export function parseObject(bytes, limits) {
  const value = parseStrictly(bytes, limits);
  if (!isObject(value)) throw new StrictJsonError("not a JSON object");
  return value;
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return the canonical text of a JSON value: names sorted, no spaces. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** Check the tokens of a text that `JSON.parse` has accepted. */
function check(text, maxDepth) {
  const open = []; // the names so far of each open object; undefined for an open array
  let latest;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      if (open.length > maxDepth) throw new StrictJsonError(`nested deeper than ${maxDepth}`);
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (token === ":") {
      const names = open.at(-1);
      if (names.has(latest)) throw new StrictJsonError("a name occurs twice in one object");
      names.add(latest);
    } else if (token.startsWith('"')) {
      latest = JSON.parse(token);
      if (!latest.isWellFormed() || latest.includes("\0"))
        throw new StrictJsonError("a string with NUL or half a character");
    } else {
      const number = Number(token);
      const exact = /[.eE]/.test(token) ? Number.isFinite(number) : Number.isSafeInteger(number);
      if (!exact) throw new StrictJsonError("a number that a double cannot represent");
    }
  }
}
